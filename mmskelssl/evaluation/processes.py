"""Share the work of an evaluation among the processes of a run. The results are those of one process, bit for bit."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.dist import all_gather_object, broadcast, get_rank, get_world_size
from torch import nn

from mmskelssl.errors import UserError

_ROUND = 16  # results that a process keeps to itself at a time
_sharing = False


@contextmanager
def together() -> Iterator[None]:
    """Within the block, :func:`deal` deals work to all processes. All of them must run the same code.

    Outside, every process works for itself, for example if only one of them measures something.
    """
    with _set_sharing(True):
        yield


@contextmanager
def _set_sharing(value: bool) -> Iterator[None]:
    global _sharing
    before, _sharing = _sharing, value
    try:
        yield
    finally:
        _sharing = before


def deal(work: Callable[[Any], Any], items: Sequence) -> Iterator[Any]:
    """Yield ``work(item)`` for each item, in order, in every process.

    Items are dealt in turn, and the results are exchanged. Work that deals itself does so only if there is one process.

    Raises:
        UserError: If ``work`` raises one in any process. All processes raise it.
    """
    world = get_world_size()
    if not _sharing or world == 1:
        yield from map(work, items)
        return
    for start in range(0, len(items), _ROUND * world):
        some = items[start:start + _ROUND * world]
        results, mistake = [], None
        try:
            with _set_sharing(False):
                results = [work(item) for item in some[get_rank()::world]]
        except UserError as error:
            mistake = str(error)
        everyone = all_gather_object((results, mistake))
        for _, mistake in everyone:
            if mistake:
                raise UserError(mistake)
        yield from (everyone[i % world][0][i // world] for i in range(len(some)))


@contextmanager
def first_buffers(module: nn.Module) -> Iterator[None]:
    """Within the block, all processes have the buffers of the first one, such as the statistics of its batch norms."""
    if get_world_size() == 1:
        yield
        return
    own = [buffer.clone() for buffer in module.buffers()]
    for buffer in module.buffers():
        broadcast(buffer)
    try:
        yield
    finally:
        for buffer, value in zip(module.buffers(), own, strict=True):
            buffer.copy_(value)
