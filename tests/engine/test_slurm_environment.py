"""Address, port and rank of a task of Slurm. The values are those of Slurm 22.05."""
import os

import pytest

from mmskelssl.engine.distributed import _slurm_environment
from mmskelssl.errors import UserError

TASK = dict(SLURM_PROCID='1', SLURM_LOCALID='0', SLURM_NTASKS='2', SLURM_JOB_ID='11', SLURM_STEP_ID='0',
            SLURM_JOB_NODELIST='node[1-2]', SLURM_STEP_NODELIST='node[1-2]')
SCONTROL = '#!/bin/sh\ncase $3 in "node[1-2]") printf "node1\\nnode2\\n";; *) echo "$3";; esac\n'


@pytest.fixture
def task(tmp_path, monkeypatch):
    """Return a function that gives the variables of torchrun for those of Slurm."""
    (tmp_path / 'scontrol').write_text(SCONTROL)
    (tmp_path / 'scontrol').chmod(0o755)

    def variables(**slurm):
        own = {key: value for key, value in os.environ.items() if not key.startswith(('SLURM_', 'MASTER_'))}
        monkeypatch.setattr(os, 'environ', {**own, 'PATH': f'{tmp_path}:{own["PATH"]}', **slurm})
        _slurm_environment()
        return {key: os.environ[key] for key in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')}
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')  # subprocess searches the real environment
    return variables


def test_a_step_on_all_nodes(task):
    assert task(**TASK) == dict(RANK='1', LOCAL_RANK='0', WORLD_SIZE='2', MASTER_ADDR='node1', MASTER_PORT='20011')
    given = task(**TASK, MASTER_ADDR='other', MASTER_PORT='5')
    assert given['MASTER_ADDR'] == 'other' and given['MASTER_PORT'] == '5'


def test_a_step_on_some_nodes_meets_on_its_own_first_one(task):
    """As of srun --nodelist=node2 in a job on node1 and node2: no task runs on node1."""
    assert task(**{**TASK, 'SLURM_STEP_NODELIST': 'node2'})['MASTER_ADDR'] == 'node2'
    older = {key: value for key, value in TASK.items() if key != 'SLURM_STEP_NODELIST'}
    assert task(**older)['MASTER_ADDR'] == 'node1'


def test_simultaneous_steps_and_jobs_have_ports_of_their_own(task):
    ports = {task(**{**TASK, 'SLURM_STEP_ID': str(step), 'SLURM_JOB_ID': str(job)})['MASTER_PORT']
             for step in range(8) for job in range(11, 31)}
    assert len(ports) == 160


def test_without_srun(task):
    with pytest.raises(UserError, match='--launcher slurm without SLURM_PROCID, SLURM_LOCALID, which srun sets: '
                                        'use tools/slurm_train.sh'):
        task(SLURM_NTASKS='2', SLURM_JOB_ID='11')
