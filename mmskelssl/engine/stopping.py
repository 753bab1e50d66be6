"""Stopping on request: the iteration is finished, the run saved, and the process told how to go on."""
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size

_received: list[tuple[int, float]] = []  # the signal, and when it came
_ECHO = 2  # seconds
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # Slurm warns with the last


class Stopped(SystemExit):
    """Ends a run that was asked to stop, and has saved itself.

    Args:
        number: The signal. Ctrl-C gives exit status 130, which ends a chain of commands; preemption is no failure.
    """

    def __init__(self, number: int):
        super().__init__(130 if number == signal.SIGINT else 0)


@contextmanager
def stop_on_signal():
    """Within, the first SIGTERM, SIGINT or SIGUSR1 is noted; another one has its usual effect.

    Not so what comes right behind the first: torchrun passes on what the whole process group has got already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number, _):
        if not _received:
            _received.append((number, time.monotonic()))
        elif time.monotonic() - _received[0][1] > _ECHO:
            for other, handler in before.items():
                signal.signal(other, handler)
            signal.raise_signal(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def start_worker(start: Callable[[int], None] | None, worker_id: int) -> None:
    """A data worker's ``worker_init_fn``, after which it leaves stopping to the main process.

    Slurm, systemd and terminals signal all processes of a run, and one whose workers are gone cannot finish its
    iteration. Only the parent's own signal, with which Python ends what is left of its children, is obeyed.
    """
    if start:
        start(worker_id)

    def obey_parent():
        while signal.sigwaitinfo(_SIGNALS).si_pid != os.getppid():
            pass
        os._exit(0)

    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=obey_parent, daemon=True).start()


def stop_requested(iteration: int) -> int:
    """Number of the signal that asked to stop, or 0; the same on every rank.

    Several ranks compare notes every tenth iteration: they have to stop after the same one.
    """
    mine = _received[0][0] if _received else 0
    if get_world_size() == 1:
        return mine
    if iteration % 10:
        return 0
    number = torch.tensor(mine, device='cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu')
    all_reduce(number, 'max')
    return int(number)
