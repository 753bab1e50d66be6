"""Draws the clips of several stores in fixed shares."""
import math
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import DataLoader, Sampler

from mmskelssl.datasets.pool import PooledDataset
from mmskelssl.errors import UserError
from mmskelssl.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class PoolSampler(Sampler):
    """Draw clips of a :class:`~mmskelssl.datasets.pool.PooledDataset` in the shares that its weights state.

    Any run of consecutive draws has these shares, up to one or two clips, so that every batch mixes the stores alike.
    Each process draws from the stores in the same order, so that the batches of all processes have the same
    composition, and no two processes draw the same clip. Each store is shuffled as often as it is used up, and a clip
    is drawn again only after at least a third of its store. An epoch has as many draws as the stores have clips.

    The draws depend only on the seed, the epoch and the process, so that a run resumes exactly. Training with
    ``data.stores`` selects this class.

    Args:
        dataset: The pool.
        seed: Seed of the order, the same in all processes. By default, drawn by the first one.
    """

    def __init__(self, dataset: PooledDataset, seed: int | None = None):
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.num_samples = math.ceil(len(dataset) / self.world_size)

    def __len__(self) -> int:
        """Number of clips that this process draws in an epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that is about to run."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = turns(self.dataset.weights, self.num_samples)
        drawn = np.empty(self.num_samples, np.int64)
        start = 0
        for store, size in enumerate(self.dataset.sizes):
            here = order == store
            count = int(here.sum())
            draws = (self.epoch * count + np.arange(count)) * self.world_size + self.rank
            drawn[here] = start + self._clips(store, size, draws)
            start += size
        return iter(drawn.tolist())

    def _clips(self, store: int, size: int, draws: np.ndarray) -> np.ndarray:
        """Return the clips at positions ``draws`` of the endless sequence of shuffles of a store."""
        made = np.empty(len(draws), np.int64)
        for cycle in np.unique(draws // size):
            here = draws // size == cycle
            made[here] = shuffled((self.seed, store), size, int(cycle))[draws[here] % size]
        return made


def turns(weights: Sequence[float], count: int) -> np.ndarray:
    """Return (count,) int: the store of each draw, so that any run of draws has the shares of the weights."""
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    # A store's k-th draw is due at (k + 1/2) / share.
    numbers = [np.arange(math.ceil(share * count) + 1) for share in shares]
    due = np.concatenate([(k + .5) / share for k, share in zip(numbers, shares, strict=True)])
    store = np.repeat(np.arange(len(shares)), [len(k) for k in numbers])
    return store[np.argsort(due, kind='stable')][:count]


def shuffled(key: tuple[int, ...], size: int, cycle: int) -> np.ndarray:
    """Return a permutation (size,) in which no clip of the last third of the previous cycle is in the first third."""
    def shuffle(number: int) -> np.ndarray:
        return np.random.default_rng((*key, number)).permutation(size)

    order, third = shuffle(cycle), size // 3
    if cycle and third:
        early = order[:2 * third]
        recent = np.isin(early, shuffle(cycle - 1)[-third:])  # the last third is never rearranged
        order[:2 * third] = np.concatenate([early[~recent], early[recent]])
    return order


def shares(dataset: PooledDataset) -> list[float]:
    """Return the share of each store in a batch."""
    return [weight / sum(dataset.weights) for weight in dataset.weights]


def check_batches(loader: DataLoader) -> None:
    """Refuse batches with a clip twice, which contrast would treat as different clips.

    Raises:
        UserError: If a store has fewer clips than a batch of all processes takes from it.
    """
    dataset, sampler = loader.dataset, loader.sampler
    if not isinstance(sampler, PoolSampler) or not isinstance(dataset, PooledDataset):
        return
    batch = (loader.batch_size or 1) * sampler.world_size
    for i, (share, size) in enumerate(zip(shares(dataset), dataset.sizes, strict=True)):
        if share * batch > size:
            raise UserError(f'data.stores.{i}.weight: {dataset.names[i]} has {size} training clips, but '
                            f'{share * batch:.0f} of the {batch} clips of a batch would come from it: lower its weight '
                            'or train_dataloader.batch_size')
