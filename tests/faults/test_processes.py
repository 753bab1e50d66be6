"""Workers and ranks that die, runs in the same work_dir, and generators disturbed by other code."""
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import (
    ROOT,
    Run,
    as_rank,
    assert_same,
    kill_at,
    pause_at,
    short_roll_call,
    signal_at,
    signal_group_at,
    signal_twice_at,
    worker_fails,
    workers_die_one_after_another,
)

from mmskelssl.datasets import SkeletonDataset, whole_batch
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.train import _explain_crash

sys.path.insert(0, str(ROOT / 'tests' / 'models' / 'methods'))
from contract_methods import METHODS, QUEUED, batch, build, step  # noqa: E402

pytestmark = pytest.mark.slow
PIPELINE = [dict(type='SelectPersons'), dict(type='AlignSequence'), dict(type='ResizeFrames', frames=8),
            dict(type='PackSkeleton')]


@pytest.mark.fault('F18', 'a data worker that is killed or raises an error')
@pytest.mark.parametrize('how, message', [('killed', '. It may have run out of memory: reduce'),
                                          ('raises', 'error: sample clip')])
def test_dead_worker(tiny_store, tmp_path, lost, how, message):
    run = Run(tiny_store, tmp_path / 'w', inject=worker_fails, inject_args=(how,),
              options={'train_dataloader.num_workers': 2})
    assert run.end(30) == 2 and message in run.error, run.output[-3000:]
    assert run.error.endswith('--resume continues from the last checkpoint')
    lost('the epoch since the last checkpoint')


def test_workers_that_die_one_after_another(tiny_store, tmp_path):
    """torch raises an error for each of them, at any line. The message of the first one stays."""
    run = Run(tiny_store, tmp_path / 'w', inject=workers_die_one_after_another,
              options={'train_dataloader.num_workers': 2})
    assert run.end(30) == 2 and '. It may have run out of memory: reduce' in run.error, run.output[-3000:]
    assert 'Traceback' not in run.output


def test_a_dead_worker_may_show_as_a_lost_connection():
    """Either error may come first. Without other processes, both refer to a worker."""
    line = _explain_crash(ConnectionResetError(104, 'Connection reset by peer'))
    assert line.startswith('a data worker has died. It may have run out of memory: reduce train_dataloader.num_workers')


def free_port() -> int:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def two_ranks(store, work_dir, *arguments, injects=((), ()), **options):
    port = free_port()
    return [Run(store, work_dir, '--launcher', 'pytorch', *arguments, inject=as_rank,
                inject_args=(rank, port, *injects[rank]), options={'train_dataloader.batch_size': 5, **options})
            for rank in (0, 1)]


@pytest.mark.fault('F19', 'one of two ranks is killed; then both resume')
@pytest.mark.parametrize('victim', [0, 1])
def test_dead_rank(tiny_store, tmp_path, lost, victim):
    """32 clips in batches of 5 for each of two: 4 iterations, the last of 1; drop_last would make it 3."""
    options = {'train_dataloader.drop_last': False, 'train_cfg.max_epochs': 2}
    injects = [(kill_at, (6,)) if rank == victim else (short_roll_call, ()) for rank in (0, 1)]
    ranks = two_ranks(tiny_store, tmp_path / 'w', injects=injects, **options)
    assert ranks[victim].end() == -signal.SIGKILL, ranks[victim].output[-3000:]
    other = ranks[1 - victim]
    assert other.end(30) == 2 and 'another process of this run has died' in other.error, other.output[-3000:]
    for run in two_ranks(tiny_store, tmp_path / 'w', '--resume', **options):
        assert run.end() == 0, run.output[-3000:]
    if victim:
        for run in two_ranks(tiny_store, tmp_path / 'straight', **options):
            assert run.end() == 0, run.output[-3000:]
        assert_same(tmp_path / 'straight' / 'epoch_2.pth', tmp_path / 'w' / 'epoch_2.pth')
        assert int(load_checkpoint(tmp_path / 'w' / 'epoch_2.pth')['state_dict']['queue.pointer']) == 64 % 20
        alone = Run(tiny_store, tmp_path / 'w', '--resume', options={**options, 'train_cfg.max_epochs': 3})
        assert alone.end() == 2 and 'world_size was 2 and is 1' in alone.error
    lost('the iteration since the last checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F5', 'SIGTERM, SIGINT, SIGUSR1 within an epoch, also to one of two ranks; then --resume')
def test_one_rank_is_asked_to_stop(tiny_store, tmp_path, lost):
    """Both end after the same iteration, at which they synchronise."""
    for run in two_ranks(tiny_store, tmp_path / 'w', injects=[(), (signal_at, (2, signal.SIGTERM))],
                         **{'train_dataloader.drop_last': False}):
        assert run.end() == 0, run.output[-3000:]
    assert load_checkpoint(tmp_path / 'w' / 'iter_11.pth')['meta']['iter'] == 11
    for run in two_ranks(tiny_store, tmp_path / 'w', '--resume', **{'train_dataloader.drop_last': False}):
        assert run.end() == 0, run.output[-3000:]
    assert (tmp_path / 'w' / 'epoch_3.pth').is_file()
    lost('nothing')


@pytest.mark.parametrize('which', [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_workers_leave_stopping_to_the_run(tiny_store, tmp_path, which):
    """Slurm, systemd and terminals signal the whole process group."""
    run = Run(tiny_store, tmp_path / 'w', inject=signal_group_at, inject_args=(6, which),
              options={'train_dataloader.num_workers': 2})
    assert run.end(30) == (130 if which == signal.SIGINT else 0), run.output[-3000:]
    assert load_checkpoint(tmp_path / 'w' / 'iter_6.pth')['meta']['iter'] == 6


@pytest.mark.parametrize('pause, saved', [(0, True), (2.2, False)])
def test_an_echo_is_no_second_request(tiny_store, tmp_path, pause, saved):
    """torchrun forwards a signal that the ranks have already received. A user who repeats it does not want to wait."""
    run = Run(tiny_store, tmp_path / 'w', inject=signal_twice_at, inject_args=(6, signal.SIGTERM, pause))
    assert run.end(30) == (0 if saved else -signal.SIGTERM), run.output[-3000:]
    assert (tmp_path / 'w' / 'iter_6.pth').is_file() == saved


def test_unequal_shares_are_refused(tiny_store, tmp_path):
    for run in two_ranks(tiny_store, tmp_path / 'w', **{'train_dataloader.sampler.round_up': False}):
        assert run.end() == 2 and 'round_up=False the 2 processes' in run.error, run.output[-3000:]


@pytest.mark.fault('F20', 'a second run in the same work_dir, with and without --resume')
def test_two_runs_in_one_place(tiny_store, tmp_path, lost, record_property):
    first = Run(tiny_store, tmp_path / 'w', inject=pause_at, inject_args=(6,), options={'train_cfg.max_epochs': 2})
    status = Path(f'/proc/{first.process.pid}/stat')
    for _ in range(600):
        if status.read_text().rpartition(')')[2].split()[0] == 'T':
            break
        time.sleep(.1)
    before = {path.name: path.read_bytes() for path in (tmp_path / 'w').glob('*.*')}
    assert 'epoch_1.pth' in before
    for arguments in ([], ['--resume']):
        second = Run(tiny_store, tmp_path / 'w', *arguments)
        assert second.end() == 2 and f'is in use by another run (process {first.process.pid} on' in second.error
    assert {path.name: path.read_bytes() for path in (tmp_path / 'w').glob('*.*')} == before
    os.kill(first.process.pid, signal.SIGCONT)
    assert first.end() == 0 and (tmp_path / 'w' / 'epoch_2.pth').is_file()
    record_property('tried', 2)
    lost('nothing')


@pytest.mark.fault('F21', 'batches of 1, 2, 3 and a partial one; a queue smaller than the batch and than top-k')
@pytest.mark.parametrize('method', METHODS)
def test_small_batches(method, lost):
    model = build(method, **dict(queue_size=2) if method in QUEUED else {})
    optimizer = torch.optim.SGD(model.parameters(), .01)
    for n in (1, 2, 3, 5, 3):
        loss, _ = step(model, batch(n), optimizer)
        assert np.isfinite(loss), n
    assert all(value.isfinite().all() for value in model.state_dict().values())
    lost('nothing')


@pytest.mark.fault('F25', 'global generators disturbed by other code; a different number of workers')
def test_disturbed_generators(tiny_store, lost, record_property):
    def views(workers, disturb):
        model = build('AimCLR')
        dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
        loader = torch.utils.data.DataLoader(dataset, 8, num_workers=workers, collate_fn=whole_batch)
        made = []
        for iteration, data in enumerate(loader):
            if disturb:
                random.seed(iteration), np.random.seed(iteration), torch.manual_seed(iteration)
            model.data_preprocessor.set_progress(iteration)
            made.append(model.data_preprocessor(data, True)['inputs'])
        return made
    expected = views(0, False)
    assert not torch.equal(expected[0]['query'][:, :, 0], expected[1]['query'][:, :, 0])
    for workers, disturb in ((0, True), (1, False), (2, True), (3, False)):
        for made, wanted in zip(views(workers, disturb), expected, strict=True):
            assert all(torch.equal(made[name], wanted[name]) for name in wanted)
    record_property('tried', 4)
    lost('nothing')


@pytest.mark.fault('F27', '8 workers that read all of one store')
def test_workers_share_the_store(tiny_store, tmp_path, lost):
    """The private memory of all workers together remains below a tenth of the data."""
    dataset = SkeletonDataset(tiny_store, 'train', PIPELINE)
    shape = (8192, *dataset.clips.shape[1:])  # 80 MB, in a sparse file
    dataset.clips = np.lib.format.open_memmap(tmp_path / 'clips.npy', 'w+', np.float32, shape)
    dataset.positions = np.arange(len(dataset.clips))
    dataset.labels, dataset.num_frames = np.zeros(len(dataset.clips), int), np.full(len(dataset.clips), 8)
    dataset.clips = np.load(tmp_path / 'clips.npy', mmap_mode='r')
    loader = torch.utils.data.DataLoader(dataset, 64, num_workers=8, collate_fn=whole_batch, persistent_workers=True)

    def own(pid) -> int:
        rollup = Path(f'/proc/{pid}/smaps_rollup').read_text()
        return 1024 * int(next(line for line in rollup.splitlines() if line.startswith('Anonymous:')).split()[1])
    batches = iter(loader)
    next(batches)
    before = [own(worker.pid) for worker in loader._iterator._workers]
    assert sum(1 for _ in batches) == len(loader) - 1
    growth = sum(own(worker.pid) for worker in loader._iterator._workers) - sum(before)
    assert growth < dataset.clips.nbytes / 10, f'{growth / 1e6:.0f} MB for {dataset.clips.nbytes / 1e6:.0f} MB of data'
    lost(f'nothing; {max(growth, 0) / dataset.clips.nbytes:.0%} of the data copied')
