"""``--threads``: the number of threads of a training, given or chosen by a short measurement on this machine."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.step_time import step_times
from mmskelssl.errors import UserError

SECONDS = 2.  # of the measurement
NEAR = 1.05  # the fewest threads win whose step takes no more than this share of the shortest time


def choose_threads(cfg: Config, given: int | str | None) -> tuple[int, list[str]]:
    """Apply ``--threads`` to a complete config. A run that continues keeps the number of its checkpoint.

    Args:
        cfg: A complete config.
        given: The number, or ``auto``. None keeps the present number.

    Returns:
        The number of threads, and lines for the log.

    Raises:
        UserError: If the number does not suit this machine, or several processes would measure.
    """
    now = torch.get_num_threads()
    if given is None:
        return now, []
    if given != 'auto':
        most = max(os.cpu_count() or 1, now)
        if type(given) is not int or not 1 <= given <= most:
            raise UserError(f"--threads {given}: it must be 'auto', or from 1 to {most}, the cores of this machine")
        return given, [f'--threads: {given}']
    if set_by_user := os.environ.get('OMP_NUM_THREADS'):
        return now, [f'--threads auto: {now}, because OMP_NUM_THREADS is {set_by_user}']
    if cfg.get('launcher', 'none') != 'none':
        raise UserError('--threads auto measures a single process: with several, set OMP_NUM_THREADS')
    before = recorded_threads(load_checkpoint(cfg.load_from)) if cfg.get('load_from') else None
    if before and before <= max(os.cpu_count() or 1, now):
        return before, [f'--threads auto: {before}, as in the checkpoint']
    if get_device() != 'cpu' or now == 1:
        why = 'there is one core' if now == 1 else 'a GPU trains'
        return now, [f'--threads auto: {now}, because {why}']
    numbers = candidates(now)
    times = step_times(cfg, SECONDS, [partial(using_threads, number) for number in numbers])
    chosen = min(number for number, taken in zip(numbers, times, strict=True) if taken <= NEAR * min(times))
    took = ', '.join(f'{1000 * taken:.3g} ms with {number}' for number, taken in zip(numbers, times, strict=True))
    return chosen, [f'--threads auto: {chosen}; a step takes {took}']


def candidates(most: int) -> list[int]:
    """Return the numbers of threads to try: all cores, half of them and so on, down to one."""
    return [most >> i for i in range(most.bit_length())]


def recorded_threads(checkpoint: dict) -> int | None:
    """Return the number of threads of the run that wrote a checkpoint, if it says so."""
    return (checkpoint['meta'].get('mmskelssl') or {}).get('threads')


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Compute with this number of threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
