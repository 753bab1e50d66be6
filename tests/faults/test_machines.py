"""Two "machines" on this one: each has its own torchrun, which its own call of tools/dist_train.sh starts.

They run in the ``python`` that starts at once; the README's dist_train.sh, which a test runs too, starts real ones.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import ROOT, SIZES, SMALL
from test_lost_processes import port

from tests.warm import kill_family

pytestmark = pytest.mark.slow
OPTIONS = {**SMALL, **SIZES, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 4,
           'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}


class Machine:
    """A script of tools/ in a session of its own, which can be killed as a whole.

    Args:
        command: The script and its arguments.
        environment: Additional variables.
    """

    python: Path  # the folder of the interpreter

    def __init__(self, *command, log: Path, **environment):
        env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(ROOT),
               'PATH': f'{self.python}:{os.environ["PATH"]}', **environment}
        self.log = log
        with log.open('w') as file:
            self.process = subprocess.Popen(['bash', *map(str, command)], cwd=ROOT, env=env, stdout=file, stderr=file,
                                            start_new_session=True)

    def end(self, timeout: float = 240) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f'hangs:\n{self.log.read_text()[-3000:]}')

    def kill(self) -> None:
        """As if the machine lost power: torchrun starts its processes in sessions of their own."""
        if self.process.poll() is None:
            kill_family(self.process.pid)
            self.process.wait()


@pytest.fixture(autouse=True, scope='session')  # of the module, the tests would be one group
def interpreter(warm_python):
    Machine.python = warm_python


def start(machines: int, processes: int, store, work_dir: Path, *arguments, options=None, **environment):
    """Train on some machines with some processes each."""
    number = str(port())
    given = [f'{key}={value}' for key, value in {**OPTIONS, 'data.store': store, **(options or {})}.items()]
    work_dir.mkdir(exist_ok=True)
    return [Machine('tools/dist_train.sh', 'configs/skeletonclr_toy.py', processes, '--work-dir', work_dir, *arguments,
                    '--cfg-options', *given, log=work_dir.with_suffix(f'.{rank}.log'), NNODES=str(machines),
                    NODE_RANK=str(rank), MASTER_ADDR='127.0.0.1', MASTER_PORT=number, **environment)
            for rank in range(machines)]


def ended(machines) -> None:
    for machine in machines:
        assert machine.end() == 0, machine.log.read_text()[-3000:]


def weights(work_dir: Path) -> dict:
    return torch.load(work_dir / 'epoch_1.pth', weights_only=True)['state_dict']


def curves(work_dir: Path) -> list[dict]:
    lines = [json.loads(line) for line in next(work_dir.rglob('scalars.json')).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key.startswith('val/')} for line in lines]


@pytest.mark.parametrize('processes', [1, 2])
def test_two_machines_equal_one(tiny_store, tmp_path, processes):
    """With as many processes, bit for bit, including the curves that all processes measure together."""
    ended(start(2, processes, tiny_store, tmp_path / 'two'))
    ended(start(1, 2 * processes, tiny_store, tmp_path / 'one'))
    two, one = weights(tmp_path / 'two'), weights(tmp_path / 'one')
    assert set(one) == set(two) and all(torch.equal(two[name], value) for name, value in one.items())
    assert curves(tmp_path / 'two') == curves(tmp_path / 'one')


@pytest.mark.parametrize('which', [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_torchrun_alone_saves_the_run(tiny_store, tmp_path, which):
    """Slurm signals its task, which is torchrun. Afterwards torchrun's own exit status is 1."""
    machine, = start(1, 2, tiny_store, tmp_path / 'w', options={'train_cfg.max_epochs': 1000})
    try:
        wait_for(tmp_path / 'w' / 'epoch_1.pth', machine)
        machine.process.send_signal(which)
        assert machine.end(60) == 1, machine.log.read_text()[-3000:]
    finally:
        machine.kill()
    assert f'stopped by {which.name} and saved as' in machine.log.read_text()
    assert list((tmp_path / 'w').glob('iter_*.pth'))


LOST = pytest.mark.fault('F57', 'one of two machines loses power; then it joins again')


@LOST
def test_a_machine_that_dies_ends_the_other_which_restarts_with_it(tiny_store, tmp_path, lost):
    """Without restarts the other machine ends soon. With --max-restarts it waits for the machine, and both resume."""
    (tmp_path / 'slow.py').write_text(
        'import time\nfrom mmskelssl.engine.hooks import ProgressHook\nbefore = ProgressHook.before_train_iter\n'
        'def patched(self, *args, **kwargs):\n    time.sleep(.3)\n    before(self, *args, **kwargs)\n'
        'ProgressHook.before_train_iter = patched\n')
    config = tmp_path / 'slow_config.py'
    config.write_text(f'_base_ = {str(ROOT / "configs/skeletonclr_toy.py")!r}\ncustom_imports = dict(imports='
                      '["mmskelssl.models", "mmskelssl.datasets", "mmskelssl.engine", "slow"])\n')
    work = tmp_path / 'w'
    given = [f'{key}={value}' for key, value in {**OPTIONS, 'data.store': tiny_store,
                                                 'train_cfg.max_epochs': 3}.items()]
    endpoint = f'127.0.0.1:{port()}'

    def machine(name: str):
        return Machine('tools/dist_train.sh', config, 1, '--work-dir', work, '--resume', '--cfg-options', *given,
                       log=tmp_path / f'{name}.log', NNODES='2', RDZV_ENDPOINT=endpoint, MAX_RESTARTS='2')
    first = machine('first')
    wait_for_port(endpoint)  # the first to come hosts the meeting point, which must stay
    second = machine('second')
    try:
        wait_for(work / 'epoch_1.pth', first)
        second.kill()
        killed = time.monotonic()
        wait_for_text(first, 'another process of this run has died')
        assert time.monotonic() - killed < 60
        again = machine('again')
        ended([first, again])
    finally:
        first.kill()
        second.kill()
    assert 'resumed epoch: 1' in first.log.read_text() + again.log.read_text()
    assert (work / 'epoch_3.pth').exists()
    lost('the epoch since the last checkpoint; the other machine ends when the connection closes, or waits for the '
         'machine with MAX_RESTARTS')


def wait_for(path: Path, machine: Machine, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end and machine.process.poll() is None, machine.log.read_text()[-3000:]
        time.sleep(.1)


def wait_for_port(endpoint: str, seconds: float = 120) -> None:
    host, _, number = endpoint.partition(':')
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(number)), 1).close()
            return
        except OSError:
            time.sleep(.2)
    pytest.fail(f'nothing listens at {endpoint}')


def wait_for_text(machine: Machine, text: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while text not in machine.log.read_text():
        assert time.monotonic() < end, machine.log.read_text()[-3000:]
        time.sleep(.1)


# An srun that starts the tasks of all nodes on this machine, and the scontrol that names the nodes.
SRUN = '''#!/bin/bash
while [[ $1 == -* ]]; do
    case $1 in
        --ntasks=*) tasks=${1#*=} ;;
        --ntasks-per-node=*) each=${1#*=} ;;
        --nodes=*) nodes=${1#*=} ;;
        -p) shift ;;
    esac
    shift
done
[ $((nodes * each)) = "$tasks" ] || exit 3
for ((task = 0; task < tasks; task++)); do
    export SLURM_PROCID=$task SLURM_LOCALID=$((task % each))
    SLURM_NTASKS=$tasks SLURM_JOB_ID=7 SLURM_JOB_NODELIST='n[0-1]' "$@" &
    children+=($!)
done
status=0
for child in "${children[@]}"; do wait "$child" || status=$?; done
exit $status
'''


def slurm(folder: Path) -> str:
    """Write the programs and return a PATH with them."""
    folder.mkdir()
    for name, text in dict(srun=SRUN, scontrol='#!/bin/sh\nprintf "127.0.0.1\\nn1\\n"\n').items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f'{folder}:{Machine.python}:{os.environ["PATH"]}'


@pytest.mark.skipif(not shutil.which('bash'), reason='needs bash')
def test_two_nodes_of_slurm_train_and_evaluate_as_one_process_measures(tiny_store, tmp_path):
    work, path = tmp_path / 'w', slurm(tmp_path / 'bin')
    given = ['--cfg-options', *(f'{key}={value}' for key, value in {**OPTIONS, 'data.store': tiny_store}.items())]
    common = dict(GPUS='2', GPUS_PER_NODE='1', PATH=path, MASTER_PORT=str(port()))
    train = Machine('tools/slurm_train.sh', 'part', 'job', 'configs/skeletonclr_toy.py', work, *given,
                    log=tmp_path / 'train.log', **common)
    assert train.end() == 0, train.log.read_text()[-3000:]
    assert '8 clips in a step (2 processes, 4 each); --auto-scale-lr' in train.log.read_text()
    checkpoint, rows = work / 'epoch_1.pth', {}
    arguments = ['--protocols', 'knn', 'linear', 'semi', 'retrieval', '--recipe', '1nn', '20nn', 'logreg',
                 'small:epochs=1,min_steps=1', 'cosine', '--no-pictures', '--batch-size', '5', *given]
    for name, command in dict(one=['tools/dist_test.sh', 'configs/skeletonclr_toy.py', checkpoint, '1'],
                              two=['tools/slurm_test.sh', 'part', 'job', 'configs/skeletonclr_toy.py',
                                   checkpoint]).items():
        run = Machine(*command, '--out', tmp_path / name, *arguments, log=tmp_path / f'{name}.log', **common)
        assert run.end() == 0, run.log.read_text()[-3000:]
        assert run.log.read_text().count('results.json') == 1  # one process writes
        rows[name] = json.loads((tmp_path / name / 'results.json').read_text())['results']
    differ = {'seconds', 'feature_seconds'}
    for mine, theirs in zip(rows['one'], rows['two'], strict=True):
        assert {key: mine[key] for key in mine.keys() - differ} == {key: theirs[key] for key in theirs.keys() - differ}
    for file in (tmp_path / 'one' / 'scores').glob('*.npz'):
        mine, theirs = np.load(file), np.load(tmp_path / 'two' / 'scores' / file.name)
        assert np.array_equal(mine['scores'], theirs['scores'])
