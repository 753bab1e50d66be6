"""Stops a run on request after it has finished the iteration and saved itself."""
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_world_size

_received: list[tuple[int, float]] = []  # the signal and the time of its arrival
_ECHO = 2  # seconds
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # Slurm sends SIGUSR1 as a warning


class Stopped(SystemExit):
    """Ends a run that was asked to stop and has saved itself.

    Args:
        number: The signal. Ctrl-C gives exit status 130, which ends a chain of commands. Other signals give 0, because
            preemption is not a failure.
    """

    def __init__(self, number: int):
        super().__init__(130 if number == signal.SIGINT else 0)


@contextmanager
def stop_on_signal():
    """Within the block, record the first SIGTERM, SIGINT or SIGUSR1. A later signal has its usual effect.

    Signals that follow immediately are ignored, because torchrun forwards signals that the whole process group has
    already received.
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
    """Run a data worker's ``worker_init_fn``, then make the worker leave stopping to the main process.

    Slurm, systemd and terminals signal all processes of a run, and a run without its workers cannot finish its
    iteration. Workers obey only signals from their parent, with which Python ends its remaining children.
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
    """Return the number of the signal that requested a stop, or 0. All ranks get the same value.

    Several ranks synchronise at every tenth iteration, because they must stop after the same one.
    """
    mine = _received[0][0] if _received else 0
    if get_world_size() == 1:
        return mine
    if iteration % 10:
        return 0
    number = torch.tensor(mine, device='cuda' if torch.distributed.get_backend() == 'nccl' else 'cpu')
    all_reduce(number, 'max')
    return int(number)
