"""Map a function over many items on all cores.

Results are returned in order, little is held in memory, and the call does not hang if a process dies.
"""
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mmskelssl.errors import UserError


class WorkerDied(UserError):
    """A process was killed. Its unfinished work can be repeated."""


# Starting the processes takes a few seconds, which does not pay off for fewer items.
FEW = 500


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def run_parallel(function: Callable, items: Sequence, jobs: int | None = None, chunk: int = 16,
                 what: str = 'working') -> Generator[Any, None, None]:
    """Yield ``function(item)`` for each item, in order.

    Args:
        function: A module-level function or a ``partial`` of one, because it is sent to other processes.
        items: Arguments of the function.
        jobs: Number of processes. 1 runs in the current process. By default, one process per core is used from
            :data:`FEW` items on, and the current process otherwise.
        chunk: Number of items to send at a time.
        what: Name of the work, for the error message.

    Raises:
        WorkerDied: If a process was killed.
    """
    jobs = jobs or (cores() if len(items) >= FEW else 1)
    if jobs == 1 or len(items) <= chunk:
        yield from map(function, items)
        return
    chunks = [items[i:i + chunk] for i in range(0, len(items), chunk)]
    # Do not fork: a forked process would wait for the threads of this process.
    if jobs < 1:
        raise UserError(f'jobs must be at least 1, got {jobs}')
    context = multiprocessing.get_context('forkserver' if 'forkserver' in multiprocessing.get_all_start_methods()
                                          else 'spawn')
    pool = ProcessPoolExecutor(jobs, context, _end_with_parent)
    waiting: deque[tuple] = deque()
    try:
        for part in chunks:
            waiting.append((part, pool.submit(_run, function, part)))
            if len(waiting) > 3 * jobs:
                yield from _result(waiting, what)
        while waiting:
            yield from _result(waiting, what)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Exit with the parent process. Otherwise the workers of a killed command would wait forever."""
    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)
    threading.Thread(target=wait, daemon=True).start()


def _run(function: Callable, items: Sequence) -> list:
    return [function(item) for item in items]


def _result(waiting: deque, what: str) -> list:
    part, future = waiting.popleft()
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkerDied(f'{what}: a process was killed at or after {part[0]!r}, possibly because memory ran out; run '
                        'the command again with fewer --jobs') from error
