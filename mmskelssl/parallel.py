"""A function over many items, on all cores, in order, with little in memory and no hanging when a process dies."""
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from mmskelssl.errors import UserError


class WorkerDied(UserError):
    """A process was killed; what it had not finished can be done again."""


# Starting the processes costs a few seconds; below so many items it does not pay.
FEW = 500


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def run_parallel(function: Callable, items: Sequence, jobs: int | None = None, chunk: int = 16,
                 what: str = 'working') -> Iterator:
    """Yield ``function(item)`` for each item, in order.

    Args:
        function: Of a module, or a ``partial`` of one, as it travels to other processes.
        jobs: Processes; 1 stays in this one. Default: one a core, but only from :data:`FEW` items on.
        chunk: Items that travel together.
        what: For the error message.
    """
    jobs = jobs or (cores() if len(items) >= FEW else 1)
    if jobs == 1 or len(items) <= chunk:
        yield from map(function, items)
        return
    chunks = [items[i:i + chunk] for i in range(0, len(items), chunk)]
    # Not forked: this process may have threads, which a forked one would wait for.
    if jobs < 1:
        raise UserError(f'{jobs} jobs: at least one')
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
    """Without it the processes of a killed import would wait for ever."""
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
        raise WorkerDied(f'{what}: a process was killed, perhaps for want of memory, at or after {part[0]!r}; run the '
                        'command again, with fewer --jobs') from error
