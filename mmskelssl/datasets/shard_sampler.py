"""Shuffles within windows of shards, for stores that do not fit into memory."""
from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.registry import DATA_SAMPLERS

SHARD_MB = 512  # of frames, for stores that consist of one array


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler):
    """Draw the clips of a few shards in random order, then those of the next few, and so on.

    A process reads from at most ``window`` shards at a time, so that a disk reads neighbouring clips together, and each
    shard once per epoch. The shards are in a new random order in every epoch, and each process has its own ones, except
    for up to two that it shares with others. All processes draw the same number of clips. No clip is drawn twice in an
    epoch; as many as the clips exceed a multiple of the processes are left out, others in each epoch.

    The draws depend only on the seed, the epoch and the process, so that a run resumes exactly, with any number of
    workers.

    Args:
        dataset: Data set of a store, with ``store`` and ``positions``.
        window: Number of shards.
        shard_mb: Size of the shards in MB of frames. Default: those of the store, or 512 MB if it is one array.
        shuffle: Always True: it is in the config of the usual sampler, whose type may be replaced.
        seed: Seed of the order, the same in all processes. By default, drawn by the first one.

    Raises:
        UserError: An argument is invalid, or the data set has no store.
    """

    def __init__(self, dataset, window: int = 8, shard_mb: float | None = None, shuffle: bool = True,
                 seed: int | None = None):
        if type(window) is not int or window < 1:
            raise UserError(f'train_dataloader.sampler.window is {window!r}; it must be an integer of at least 1')
        if shard_mb is not None and not (isinstance(shard_mb, int | float) and 0 < shard_mb < float('inf')):
            raise UserError(f'train_dataloader.sampler.shard_mb is {shard_mb!r}; it must be a positive number')
        if shuffle is not True:
            raise UserError(f"train_dataloader.sampler.shuffle is {shuffle!r}, but ShardSampler always shuffles: write "
                            "type='DefaultSampler'")
        if not hasattr(dataset, 'store') or not hasattr(dataset, 'positions'):
            raise UserError('train_dataloader.sampler: ShardSampler needs a data set of one store, and '
                            f"{type(dataset).__name__} is none: write type='DefaultSampler'")
        self.rank, self.world_size = get_dist_info()
        self.dataset, self.window = dataset, window
        numbers = shards_of(dataset.store, dataset.positions, shard_mb)
        changes = np.diff(numbers, prepend=np.int32(-1))
        if changes.min(initial=0) >= 0:  # in order already, as most splits are: a million clips need no sorting
            self.clips = np.arange(len(numbers), dtype=np.int32)
        else:
            self.clips = np.argsort(numbers, kind='stable').astype(np.int32)  # by shard
            changes = np.diff(numbers[self.clips], prepend=np.int32(-1))
        # Where the clips of each shard begin in this array, and the end of the last one.
        self.starts = np.append(np.flatnonzero(changes), len(numbers))
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = len(self.clips) // self.world_size

    def __len__(self) -> int:
        """Number of clips that this process draws in an epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that is about to run."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        for part in self.windows():
            yield from part.tolist()

    def windows(self) -> Iterator[np.ndarray]:
        """Yield the clips of each window of this process, in the order of the draws."""
        if not self.num_samples:
            return
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.starts) - 1)
        # The clips of an epoch, one shard after the other, are divided among the processes.
        ends = np.cumsum(np.diff(self.starts)[order])
        first, last = self.rank * self.num_samples, (self.rank + 1) * self.num_samples
        low, high = np.searchsorted(ends, (first, last - 1), 'right')
        for mine in np.array_split(np.arange(low, high + 1), -(-(high + 1 - low) // self.window)):
            parts = [self._part(int(order[i]), int(ends[i]), first, last) for i in mine]
            rng = np.random.default_rng((self.seed, self.epoch, self.rank, int(mine[0])))
            yield rng.permutation(np.concatenate(parts))

    def _part(self, shard: int, end: int, first: int, last: int) -> np.ndarray:
        """Return those clips of a shard that are at the places from ``first`` to ``last`` of an epoch.

        Args:
            end: Place after the last clip of the shard.
        """
        clips = self.clips[self.starts[shard]:self.starts[shard + 1]]
        begin = end - len(clips)
        # Processes that share a shard have different parts of one permutation.
        order = np.random.default_rng((self.seed, self.epoch, shard)).permutation(clips)
        return order[max(first - begin, 0):last - begin]

    def describe(self) -> str:
        """Return a line for the log."""
        return (f'order of the clips: shuffled within windows of {self.window} shards; the training clips are in '
                f'{len(self.starts) - 1} shards')


def shards_of(store: SkeletonStore, positions: np.ndarray, shard_mb: float | None = None) -> np.ndarray:
    """Return (n,) int32: the number of the shard in which each clip is.

    Args:
        positions: (n,) positions of the clips in the store.
        shard_mb: Size of a shard in MB of frames; by default those of the store, if it has several.
    """
    parts = getattr(store, 'shards', [])
    if shard_mb is None and len(parts) > 1:
        return np.searchsorted([part.stop for part in parts], positions, 'right').astype(np.int32)
    rows = store.persons.astype(np.int64) * store.frames
    before = (np.cumsum(rows) - rows)[positions] * (store.layout.num_joints * store.channels * 4)  # bytes
    return (before / ((shard_mb or SHARD_MB) * 1e6)).astype(np.int32)
