"""Decides whether the clips of a store are preprocessed once, into a cache, or batch by batch."""
from mmskelssl.datasets.batch_pipeline import without_batch
from mmskelssl.datasets.cache import exists, free_bytes
from mmskelssl.datasets.preprocessing import build_transform, preprocess_sample
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError

LARGEST = 32 << 30  # bytes of a cache that is made without being asked for
SHARE = .5  # of the free disk space that it may take


def choose(store: SkeletonStore, pipeline: list[dict], key: str, cache_dir: str | None,
           wanted: str) -> tuple[str, str]:
    """Return ``cache`` or ``batch``, and the reason in a few words.

    The cache is chosen if it exists, or if it is small enough for its bound and for the disk. Processes that start
    together choose alike: a cache that another one is making exists, too.

    Args:
        key: Key of the cache.
        wanted: ``cache``, ``batch``, or ``auto``.

    Raises:
        UserError: ``wanted`` is something else, or the pipeline fails on the first clip.
    """
    if wanted not in ('auto', 'cache', 'batch'):
        raise UserError(f"data.preprocess is {wanted!r}; it must be 'auto', 'cache' or 'batch'")
    if wanted != 'auto':
        return wanted, 'as in data.preprocess'
    if exists(store.path, key, cache_dir):
        return 'cache', 'it exists'
    transform = build_transform(pipeline)
    needed = preprocess_sample(store, 0, transform)['inputs'].nbytes * len(store)
    free = free_bytes(store.path, cache_dir)
    sizes = f'{_size(needed)}, with {_size(free)} free on its disk'
    if needed <= min(LARGEST, SHARE * free):
        return 'cache', sizes
    missing = without_batch(transform.transforms)
    if missing:
        return 'cache', f'{sizes}; the transform {missing} has no batched form'
    bound = f'more than {_size(LARGEST)}' if needed > LARGEST else f'more than {100 * SHARE:.0f} % of it'
    return 'batch', f'a cache would take {sizes}: {bound}'


def _size(count: float) -> str:
    return f'{count / (1 << 30):.3g} GiB' if count >= 1 << 30 else f'{count / (1 << 20):.3g} MiB'
