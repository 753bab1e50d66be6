"""Ranks that stop or have different data, clocks that jump, folders that disappear, and kills at random moments."""
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import (
    ROOT,
    Run,
    as_rank,
    assert_same,
    clock_jumps_at,
    delete_at,
    hang_at,
    kill_at,
    set_environment,
    short_roll_call,
)

from mmskelssl.datasets import SkeletonStore
from mmskelssl.datasets.toy.raw import write_raw
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.distributed import is_first_process, lost_process
from mmskelssl.engine.train import _explain_crash

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get('MMSKELSSL_KILLS', 2))  # 20 by hand
TIMEOUT = int(os.environ.get('MMSKELSSL_TIMEOUT', 6))  # seconds; a machine that is busy may need more
BOUND = 30  # seconds beyond the timeout: the roll call, and a machine that is busy


def port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def ranks(stores, work_dir, *arguments, injects=((), ()), **options):
    number = port()
    return [Run(store, work_dir, '--launcher', 'pytorch', *arguments, inject=as_rank,
                inject_args=(rank, number, *injects[rank]), options={'train_dataloader.batch_size': 5, **options})
            for rank, store in enumerate(stores)]


def ended(runs) -> None:
    for run in runs:
        assert run.end() == 0, run.output[-3000:]


SAME = pytest.mark.fault('F46', 'two ranks with different stores; the environment of a Slurm job in a run without a '
                         'launcher')


@SAME
def test_ranks_with_different_stores(tiny_store, tmp_path, lost):
    other = shutil.copytree(tiny_store, tmp_path / 'other', ignore=shutil.ignore_patterns('cache'))
    index = other / 'index.json'
    index.write_text(index.read_text().replace('"label": 1', '"label": 2', 1))
    for run in ranks([tiny_store, str(other)], tmp_path / 'w'):
        assert run.end() == 2 and 'the processes of this run have different data: process 0 has 32 clips' in run.error
    assert not list((tmp_path / 'w').glob('*.pth'))
    lost('nothing')


@SAME
def test_a_rank_in_the_environment_is_no_launcher(own_store, tmp_path, monkeypatch):
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.setenv(name, '1')
    assert is_first_process() and not any(map(is_first_process, ('pytorch', 'slurm', 'mpi')))
    frames = np.load(Path(own_store) / 'keypoints.npy', mmap_mode='r+')
    frames[100, 3, 1] += 1
    frames.flush()
    run = Run(own_store, tmp_path / 'w', inject=_slurm_shell)
    assert run.end() == 2 and 'keypoints.npy has changed since it was written' in run.error, run.output[-3000:]
    assert (tmp_path / 'w' / '.lock').read_text().startswith('process ')


def _slurm_shell() -> None:
    set_environment(SLURM_PROCID='1')


LOST = pytest.mark.fault('F47', 'SIGSTOP and SIGKILL of either of two ranks, in the middle of a step and before a '
                         'validation')


@LOST
@pytest.mark.parametrize('how, victim', [('stop step', 0), ('stop validation', 1), ('kill validation', 1),
                                         ('kill step', 0)])
def test_a_rank_that_does_not_answer(tiny_store, tmp_path, lost, how, victim):
    injects = [(hang_at, (5, how)) if rank == victim else (short_roll_call, ()) for rank in (0, 1)]
    both = ranks(2 * [tiny_store], tmp_path / 'w', injects=injects,
                 **{'env_cfg.dist_cfg.timeout': TIMEOUT, 'default_hooks.knn.interval': 1})
    try:
        other = both[1 - victim]
        assert other.end(TIMEOUT + 2 * BOUND) == 2, other.output[-3000:]
        said = 'has died' if 'kill' in how else 'does not answer'
        assert f'another process of this run {said} (rank {victim})' in other.error
    finally:
        both[victim].process.kill()
    assert load_checkpoint(tmp_path / 'w' / 'epoch_1.pth')['meta']['iter'] == 3
    lost('the epoch since the last checkpoint; the other rank ends after env_cfg.dist_cfg.timeout, or immediately '
         'after a kill')


def test_other_errors_are_not_put_on_a_rank():
    assert lost_process(RuntimeError('Connection closed by peer')) is None  # there is no other process


MOVED = pytest.mark.fault('F48', 'torchrun --max-restarts; 2 to 1 and 1 to 2 processes; a work_dir that is deleted, a '
                          'clock that jumps, a data worker that is killed, each during a run')


@MOVED
def test_another_number_of_processes(tiny_store, tmp_path, lost):
    options = {'train_cfg.max_epochs': 1}
    ended(ranks(2 * [tiny_store], tmp_path / 'w', **options))
    one = {'train_dataloader.batch_size': 5, 'train_cfg.max_epochs': 2}
    refused = Run(tiny_store, tmp_path / 'w', '--resume', options=one)
    assert refused.end() == 2 and 'world_size was 2 and is 1' in refused.error
    ended([Run(tiny_store, tmp_path / 'w', '--resume', '--allow-change', options=one)])
    meta = load_checkpoint(tmp_path / 'w' / 'epoch_2.pth')['meta']
    assert meta['iter'] == 12 and len(meta['random']) == 1  # two epochs of 32 clips in batches of 5, the rest dropped
    ended(ranks(2 * [tiny_store], tmp_path / 'w', '--resume', '--allow-change', **{'train_cfg.max_epochs': 3}))
    meta = load_checkpoint(tmp_path / 'w' / 'epoch_3.pth')['meta']
    assert meta['iter'] == 9 and len(meta['random']) == 2
    lost('nothing; a changed number of processes needs --allow-change')


@MOVED
def test_torchrun_starts_again(tiny_store, tmp_path, warm_python):
    """A killed rank also ends the other one. torchrun restarts both, and --resume finds the checkpoint."""
    (tmp_path / 'kill_once.py').write_text(
        'import os, signal\nfrom mmskelssl.engine.hooks import ProgressHook\nbefore = ProgressHook.before_train_iter\n'
        'def patched(self, runner, *args, **kwargs):\n'
        '    if runner.iter == 4 and runner.rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n    before(self, runner, *args, **kwargs)\n'
        'ProgressHook.before_train_iter = patched\n')
    (tmp_path / 'cfg.py').write_text(f'_base_ = {str(ROOT / "configs/skeletonclr_toy.py")!r}\ncustom_imports = dict('
                                     'imports=["mmskelssl.models", "mmskelssl.datasets", "mmskelssl.engine", '
                                     '"kill_once"])\n')
    from runs import SIZES, SMALL
    options = {**SMALL, **SIZES, 'data.store': tiny_store, 'train_dataloader.batch_size': 5, 'train_cfg.max_epochs': 2}
    done = subprocess.run(
        [warm_python / 'python', '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2',
         '--max-restarts=1', 'tools/train.py', str(tmp_path / 'cfg.py'), '--work-dir', str(tmp_path / 'w'),
         '--launcher', 'pytorch', '--resume', '--cfg-options', *(f'{key}={value}' for key, value in options.items())],
        cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_checkpoint(tmp_path / 'w' / 'epoch_2.pth')['meta']['iter'] == 6


@MOVED
def test_a_work_dir_that_is_deleted(tiny_store, tmp_path):
    """The run ends with one line. TensorBoard's writer thread may print its own error before it."""
    run = Run(tiny_store, tmp_path / 'w', inject=delete_at, inject_args=(6, str(tmp_path / 'w')))
    assert run.end() == 2 and 'was removed while this run wrote to it' in run.error, run.output[-3000:]
    assert run.output.rstrip().splitlines()[-1] == run.error


@MOVED
@pytest.mark.parametrize('seconds', [-10 ** 9, 10 ** 9])
def test_a_clock_that_jumps(tiny_store, tmp_path, seconds):
    options = {'train_cfg.max_epochs': 2}
    ended([Run(tiny_store, tmp_path / 'straight', options=options),
           Run(tiny_store, tmp_path / 'w', inject=clock_jumps_at, inject_args=(3, seconds), options=options)])
    assert_same(tmp_path / 'straight' / 'epoch_2.pth', tmp_path / 'w' / 'epoch_2.pth')


@MOVED
@pytest.mark.parametrize('phase', ['first batch', 'second epoch'])
def test_a_data_worker_that_is_killed(tiny_store, tmp_path, phase):
    """A worker dies in the middle of an epoch, as in F18."""
    saved = str(tmp_path / 'w' / ('epoch_1.pth' if phase == 'second epoch' else ''))
    run = Run(tiny_store, tmp_path / 'w', inject=_worker_killed_when, inject_args=(saved,),
              options={'train_dataloader.num_workers': 2})
    assert run.end(60) == 2 and '. It may have run out of memory: reduce' in run.error, run.output[-3000:]


def _worker_killed_when(path: str) -> None:
    """The data workers die at their first batch once that path exists."""
    from torch.utils.data import get_worker_info

    from mmskelssl.datasets import SkeletonDataset
    read = SkeletonDataset.__getitems__

    def dying(self, indices):
        if get_worker_info() and os.path.exists(path):
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, indices)
    SkeletonDataset.__getitems__ = dying


def test_a_quota_is_one_line():
    line = _explain_crash(OSError(errno.EDQUOT, 'Disk quota exceeded', 'w/scalars.json'))
    assert line == 'w/scalars.json cannot be written: Disk quota exceeded; make room'


RANDOM = pytest.mark.fault('F49', 'SIGKILL at random moments of an import with two processes, and of all stages of '
                           'crrl_toy; MMSKELSSL_KILLS=20 for 20 of each')


@RANDOM
def test_an_import_killed_at_random_moments(tmp_path, lost, record_property):
    """Each file takes 30 ms, so that the import can be killed while it runs."""
    raw, rng = tmp_path / 'raw', random.Random(0)
    write_raw('ntu', str(raw), num_samples=64, seed=9, subjects=4)
    code = ('import time\nfrom mmskelssl.datasets.importers import ntu\nread = ntu.read_skeleton\n'
            'def slow(*args, **options):\n    time.sleep(.03)\n    return read(*args, **options)\n'
            'ntu.read_skeleton = slow\nimport sys\nfrom tools.prepare_data import main\n'
            'sys.argv = ["prepare_data.py", *sys.argv[1:]]\nmain()')

    def start(out):
        return subprocess.Popen([sys.executable, '-c', code, 'ntu60', str(raw), '--out', str(out), '--jobs', '1'],
                                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    straight = start(tmp_path / 'straight')
    assert straight.wait(120) == 0, straight.stderr.read()
    out, partial, killed = tmp_path / 's', tmp_path / '.s.partial' / 'journal.jsonl', 0
    while not out.exists():
        process = start(out)
        before = partial.stat().st_size if partial.exists() else 0
        while process.poll() is None and not (partial.exists() and partial.stat().st_size != before):
            time.sleep(.01)
        try:
            process.wait(rng.uniform(0, 2.4 / KILLS) if killed < KILLS else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0, process.stderr.read()
    stores = [SkeletonStore(path) for path in (out, tmp_path / 'straight')]
    assert stores[0].data_hash == stores[1].data_hash and killed
    assert stores[0].index['provenance'] == stores[1].index['provenance']
    stores[0].verify_hash()
    record_property('tried', killed)
    lost('the file that was being read; the store is identical')


@RANDOM
def test_crrl_killed_at_random_moments(tiny_store, tmp_path, lost, record_property):
    """Eight iterations per stage. Each kill is in the middle of a random iteration, and the run resumes."""
    options, rng = {'train_cfg.max_epochs': 2}, random.Random(0)
    ended([Run(tiny_store, tmp_path / 'straight', method='crrl', options=options)])
    for kill in range(KILLS):
        stage = ('crrlmotion', 'crrl')[kill * 2 // KILLS]
        arguments = ['--resume'] if kill else []
        run = Run(tiny_store, tmp_path / 'w', *arguments, method='crrl', options=options, inject=kill_at,
                  inject_args=(rng.randint(1, 8), stage))
        if run.end() == 0:
            break  # it had passed that iteration, and got to the end
        assert run.process.exitcode == -signal.SIGKILL, run.output[-3000:]
    ended([Run(tiny_store, tmp_path / 'w', '--resume', method='crrl', options=options)])
    for name in ('crrlmotion', 'crrl'):
        assert_same(tmp_path / 'straight' / name / 'epoch_2.pth', tmp_path / 'w' / name / 'epoch_2.pth')
    record_property('tried', kill + 1)
    lost('the iterations since the last checkpoint; the final state is identical bit for bit')


