"""Real training runs in processes of their own, which a test may kill, starve or signal.

They are forked from a server that has everything imported already: a run takes a second or two.
"""
import functools
import io
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from mmskelssl import atomic
from mmskelssl.errors import UserError
from mmskelssl.models.backbones import STGCN
from tests.conftest import shorten
from tests.warm import CONTEXT, quicken

ROOT = Path(__file__).resolve().parents[2]

# Small enough for a second: 32 clips are 4 iterations of 8 an epoch; every checkpoint is kept.
SMALL = {'train_cfg.max_epochs': 3, 'train_dataloader.batch_size': 8, 'data.pipeline.2.frames': 8,
         'default_hooks.checkpoint.interval': 1, 'default_hooks.checkpoint.max_keep_ckpts': 3,
         'default_hooks.logger.interval': 1, 'default_hooks.knn.interval': 100}
SIZES = {'model.backbone.hidden_channels': 4, 'model.backbone.out_channels': 16, 'model.queue_size': 20}
OPTIONS = {**{name: SIZES for name in ('skeletonclr', 'aimclr', 'actclr', 'skeattnclr')},
           'crrl': {'model.backbone.hidden_channels': 4, 'model.head.out_channels': 8}}


@functools.cache
def _logs() -> tempfile.TemporaryDirectory:
    """Return the folder of the logs of all runs. It is removed when the tests end."""
    return tempfile.TemporaryDirectory(prefix='runs')


class Run:
    """A training run in a process of its own.

    Args:
        method: Of ``configs/METHOD_toy.py``.
        inject: Module-level function called in the process before training, with ``inject_args``.
        options: Keys of the config to change.
        arguments: Of ``tools/train.py`` besides config, work_dir and options.
    """

    def __init__(self, store, work_dir, *arguments: str, method='skeletonclr', config=None, inject=None, inject_args=(),
                 options=None):
        work_dir = Path(work_dir)
        self.log = Path(tempfile.mkstemp('.log', dir=_logs().name)[1])
        options = {**SMALL, **OPTIONS[method], 'data.store': store, **(options or {})}
        if 'crrl' in method:
            options.pop('data.pipeline.2.frames')
        config = str(config or f'{ROOT}/configs/{method}_toy.py')
        command = [config, '--work-dir', str(work_dir), *arguments, '--cfg-options',
                   *(f'{key}={value}' for key, value in options.items() if value is not None)]
        self.process = CONTEXT.Process(target=_main, args=(command, str(self.log), inject, inject_args))
        self.process.start()

    def end(self, timeout=60) -> int:
        """Return the exit status, or minus the number of the signal that killed the run. Fails if the run hangs."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f'the run hangs:\n{self.output[-3000:]}')
        return self.process.exitcode

    @property
    def output(self) -> str:
        return self.log.read_text(errors='replace')

    @property
    def error(self) -> str:
        """The last line of the output that describes the error."""
        return [line for line in self.output.splitlines() if 'error: ' in line][-1]


def _main(command, log, inject, inject_args) -> None:
    os.chdir(ROOT)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1), os.dup2(handle, 2)
    sys.stdout, sys.stderr = (open(number, 'w', buffering=1, closefd=False) for number in (1, 2))
    logging.captureWarnings(True)
    torch.set_num_threads(1)
    from tools import train
    quicken()
    short_networks()
    sys.argv = ['train.py', *command]
    if inject:
        inject(*inject_args)
    train.main()


def short_networks(patch=setattr) -> None:
    """Build each ST-GCN with four of its ten blocks, which would take most of the time of such a short run."""
    init = STGCN.__init__

    @functools.wraps(init)
    def short(self, *args, **kwargs):
        init(self, *args, **kwargs)
        shorten(self)
    patch(STGCN, '__init__', short)


def at_iteration(number: int, do, stage: str = '') -> None:
    """Call ``do`` in the middle of an iteration (counted from 1), in the stage whose work_dir is named ``stage``."""
    from mmskelssl.engine.hooks import ProgressHook
    before = ProgressHook.before_train_iter

    def patched(self, runner, *args, **kwargs):
        before(self, runner, *args, **kwargs)
        if runner.iter + 1 == number and Path(runner.work_dir).name.endswith(stage):
            do()
    ProgressHook.before_train_iter = patched


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(number: int, stage: str = '') -> None:
    at_iteration(number, kill_self, stage)


def signal_at(number: int, which: int) -> None:
    at_iteration(number, lambda: os.kill(os.getpid(), which))


def signal_twice_at(number: int, which: int, pause: float) -> None:
    def send():
        os.kill(os.getpid(), which)
        time.sleep(pause)
        os.kill(os.getpid(), which)
    at_iteration(number, send)


def signal_group_at(number: int, which: int) -> None:
    os.setpgrp()
    # Sent by another process, as from outside.
    at_iteration(number, lambda: subprocess.run(['kill', f'-{which:d}', '--', f'-{os.getpgrp()}'], check=True,
                                                start_new_session=True))


def die_writing(name: str, share: float) -> None:
    """Send SIGKILL when this share of the file's bytes is on disk."""
    def dying_open(path, *args, **kwargs):
        file = open(path, *args, **kwargs)
        if name not in str(path):
            return file

        class Dying(io.BufferedWriter):
            def write(self, data):
                super().write(data[:int(share * len(data))])
                self.flush()
                kill_self()
        return Dying(file.detach())
    atomic.open = dying_open


def die_before(name: str, function: str = 'replace') -> None:
    """Send SIGKILL right before ``os.replace`` or ``remove`` of this file, once epoch 2 is on disk."""
    call = getattr(os, function)

    def dying(*paths):
        folder = Path(paths[-1]).parent
        if Path(paths[-1]).name == name and (name == 'epoch_2.pth' or (folder / 'epoch_2.pth').exists()):
            kill_self()
        call(*paths)
    setattr(os, function, dying)


def pause_at(number: int) -> None:
    signal_at(number, signal.SIGSTOP)


def as_rank(rank: int, port: int, inject=None, inject_args=()) -> None:
    """Run as one of two processes without torchrun, so that nothing else ends the other one."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1',
                      MASTER_PORT=str(port))
    if inject:
        inject(*inject_args)


def worker_fails(how: str) -> None:
    """The data workers never deliver the third batch."""
    from mmskelssl.datasets import SkeletonDataset
    read, count = SkeletonDataset.__getitems__, iter(range(1000))

    def failing(self, indices):
        if torch.utils.data.get_worker_info() and next(count) == 1:
            if how == 'killed':
                kill_self()
            raise UserError(f'sample {self.ids[indices[0]]} cannot be read')
        return read(self, indices)
    SkeletonDataset.__getitems__ = failing


def workers_die_one_after_another() -> None:
    """The first data worker dies in its second batch, and the other while the run says so."""
    from mmskelssl.datasets import SkeletonDataset
    from mmskelssl.engine import train
    read, explain, count = SkeletonDataset.__getitems__, train._explain_crash, iter(range(1000))

    def failing(self, indices):
        info = torch.utils.data.get_worker_info()
        if info and info.id == 0 and next(count) == 1:
            kill_self()
        return read(self, indices)

    def later(error):
        for child in multiprocessing.active_children():
            child.kill()
        time.sleep(.5)
        return explain(error)
    SkeletonDataset.__getitems__, train._explain_crash = failing, later


def weights_turn_nan(number: int) -> None:
    """The step of this iteration corrupts a weight after a valid loss."""
    from mmskelssl.engine.hooks import NonFiniteHook
    after = NonFiniteHook.after_train_iter

    def patched(self, runner, *args, **kwargs):
        after(self, runner, *args, **kwargs)
        if runner.iter + 1 == number:
            next(runner.model.backbone.parameters()).data.fill_(float('nan'))
    NonFiniteHook.after_train_iter = patched


def disk_full_at(number: int, size: int) -> None:
    """From this iteration on, no file may grow beyond ``size`` bytes."""
    at_iteration(number, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def state(path) -> dict:
    """Return everything in a checkpoint that the rest of a run depends on, as {dotted key: value}."""
    checkpoint = torch.load(path, weights_only=True)
    meta = checkpoint['meta']
    scalars = {name: value for name, value in checkpoint['message_hub']['log_scalars'].items()
               if not name.endswith('time')}
    return dict(_leaves(dict(
        weights=checkpoint['state_dict'], optimizer=checkpoint['optimizer'], schedulers=checkpoint['param_schedulers'],
        random=meta['random'], epoch=meta['epoch'], iter=meta['iter'], logged=scalars)))


def _equal(a, b) -> bool:
    if torch.is_tensor(a):
        return a.shape == b.shape and bool(((a == b) | (a != a) & (b != b)).all())  # NaN where nothing could be logged
    return a == b


def _leaves(node, path=''):
    if isinstance(node, (dict, list, tuple)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f'{path}.{key}')
    else:
        yield path, node


def assert_same(first, second) -> None:
    """Assert that two checkpoints have the same content, bit for bit."""
    first, second = state(first), state(second)
    assert set(first) == set(second)
    different = [key for key, value in first.items() if not _equal(value, second[key])]
    assert not different, different[:10]


def hang_at(number: int, when: str = 'step') -> None:
    """Send SIGSTOP, or SIGKILL if the name has ``kill``, within this iteration or the KNN measurement after it."""
    which = signal.SIGKILL if 'kill' in when else signal.SIGSTOP
    if 'step' in when:
        signal_at(number, which)
        return
    from mmskelssl.engine.hooks import KNNHook
    measure = KNNHook.measure

    def patched(self, runner, *args, **kwargs):
        if runner.iter >= number:
            os.kill(os.getpid(), which)
        measure(self, runner, *args, **kwargs)
    KNNHook.measure = patched


def short_roll_call(seconds: float = 2) -> None:
    """Give lost ranks less time to answer than a real run does."""
    from mmskelssl.engine import distributed
    distributed._silent.__defaults__ = (seconds,)


def as_rank_of(rank: int, port: int, world: int, inject=None, inject_args=()) -> None:
    """Run as one of ``world`` processes."""
    as_rank(rank, port, inject, inject_args)
    os.environ['WORLD_SIZE'] = str(world)


def set_environment(**variables: str) -> None:
    os.environ.update(variables)


def clock_jumps_at(number: int, seconds: float) -> None:
    """The wall clock is changed during the run."""
    def jump():
        now = time.time
        time.time = lambda: now() + seconds
        time_ns = time.time_ns
        time.time_ns = lambda: time_ns() + int(seconds * 1e9)
    at_iteration(number, jump)


def delete_at(number: int, folder: str) -> None:
    """The work_dir is deleted in the middle of an iteration."""
    import shutil
    at_iteration(number, lambda: shutil.rmtree(folder))
