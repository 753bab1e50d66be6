"""The scripts for Slurm with a stand-in for srun, which prints its arguments and environment. No test needs Slurm."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRUN = '#!/bin/bash\necho "srun $*"\nenv | grep -E "^(SRUN_|NNODES|RDZV_|MAX_RESTARTS)"\nexit 7\n'
JOB = dict(SLURM_JOB_ID='12', SLURM_JOB_NODELIST='node[1-2]', SLURM_JOB_NUM_NODES='2')

pytestmark = pytest.mark.skipif(not shutil.which('bash'), reason='needs bash')


@pytest.fixture
def call(tmp_path):
    for name, text in dict(srun=SRUN, scontrol='#!/bin/sh\nprintf "node1\\nnode2\\n"\n').items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(script, *arguments, cwd=ROOT, **environment):
        own = {key: value for key, value in os.environ.items() if not key.startswith(('SLURM_', 'SRUN_', 'GPUS'))}
        return subprocess.run(['bash', script, *arguments], cwd=cwd, capture_output=True, text=True,
                              env={**own, 'PATH': f'{tmp_path}:{own["PATH"]}', **environment})
    return run


def test_sbatch_starts_one_torchrun_per_node_with_the_cpus_of_the_job(call):
    """Since version 22.05, srun does not take --cpus-per-task from sbatch."""
    run = call('tools/sbatch_train.sh', 'config.py', '8', '--seed', '1', SLURM_CPUS_PER_TASK='32', **JOB)
    assert run.returncode == 7 and not run.stderr  # the status of srun
    command, *variables = run.stdout.splitlines()
    assert command == 'srun --kill-on-bad-exit=1 bash tools/dist_train.sh config.py 8 --seed 1 --resume'
    assert sorted(variables) == ['MAX_RESTARTS=3', 'NNODES=2', 'RDZV_ENDPOINT=node1:20012', 'RDZV_ID=12',
                                 'SRUN_CPUS_PER_TASK=32']
    assert 'SRUN_CPUS' not in call('tools/sbatch_train.sh', 'config.py', '8', **JOB).stdout
    own = call('tools/sbatch_train.sh', 'config.py', '8', SLURM_CPUS_PER_TASK='32', SRUN_CPUS_PER_TASK='4', **JOB)
    assert 'SRUN_CPUS_PER_TASK=4' in own.stdout


def test_a_job_that_starts_again_continues_its_output():
    """By default Slurm empties the output of the first start, which says why it ended."""
    assert {'#SBATCH --requeue', '#SBATCH --open-mode=append'} <= set(
        (ROOT / 'tools/sbatch_train.sh').read_text().splitlines())


def test_sbatch_says_how_it_is_called(call, tmp_path):
    copy = tmp_path / 'slurm_script'  # Slurm runs a copy of this name
    shutil.copy(ROOT / 'tools/sbatch_train.sh', copy)
    run = call(copy, **JOB)
    assert run.returncode == 2 and 'tools/sbatch_train.sh CONFIG GPUS_PER_NODE' in run.stderr
    assert 'slurm_script' not in run.stderr
    for message, given in [('start it with sbatch', dict()),
                           ('call sbatch in the checkout', dict(JOB, cwd=tmp_path))]:
        run = call(copy, 'config.py', '8', **given)
        assert run.returncode == 2 and message in run.stderr and not run.stdout


@pytest.mark.parametrize('script', ['tools/slurm_train.sh', 'tools/slurm_test.sh'])
def test_srun_gets_the_numbers_of_nodes_and_tasks(call, script):
    run = call(script, 'part', 'job', 'config.py', 'place', '--amp', GPUS='16', SRUN_ARGS='--gres=none --time=60')
    assert run.returncode == 7
    assert run.stdout.splitlines()[0] == (
        'srun -p part --job-name=job --nodes=2 --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=4 '
        f'--kill-on-bad-exit=1 --gres=none --time=60 python -u {script.replace("slurm_", "").replace(".sh", ".py")} '
        f'config.py {"--work-dir " if "train" in script else ""}place --amp --launcher slurm')


def test_too_few_arguments_show_the_variables_too(call):
    run = call('tools/slurm_train.sh', '--help')
    assert run.returncode == 2 and 'GPUS_PER_NODE=8' in run.stderr and 'SRUN_ARGS' in run.stderr


@pytest.mark.parametrize('given', [dict(GPUS='eight'), dict(GPUS='0'), dict(GPUS='-8'), dict(GPUS_PER_NODE='0'),
                                   dict(GPUS='1e1'), dict(GPUS='12')])
def test_wrong_numbers_of_gpus_are_refused(call, given):
    run = call('tools/slurm_train.sh', 'part', 'job', 'config.py', 'place', **given)
    assert run.returncode == 2 and not run.stdout
    assert run.stderr.startswith('error: GPUS=') and len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize('script, before', [
    ('tools/dist_train.sh', ['a.py']), ('tools/dist_test.sh', ['a.py', 'a.pth'])])
@pytest.mark.parametrize('processes', ['two', '0', '-1', ''])
def test_processes_that_are_no_number(call, script, before, processes):
    run = call(script, *before, processes)
    assert run.returncode == 2 and run.stderr == (
        f"error: GPUS is '{processes}': give the number of processes on this machine\n")
