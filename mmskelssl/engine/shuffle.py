"""Selects how the training clips are shuffled: over the whole store, or within windows of shards."""
from mmengine.config import ConfigDict

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError

LARGE = 16 << 30  # bytes of frames from which on a store is shuffled by shards; NTU RGB+D 120 has 10 GB
CHOICES = {'full': 'DefaultSampler', 'shards': 'ShardSampler'}
USUAL = dict(type='DefaultSampler', shuffle=True)


def choose_sampler(loader: ConfigDict, data: ConfigDict, store: SkeletonStore) -> None:
    """Set the sampler that ``data.shuffle`` asks for; ``auto`` goes by the size of the store alone, not the machine.

    Raises:
        UserError: It asks for something else, or the config also names another sampler.
    """
    wanted, given = data.get('shuffle', 'auto'), loader.get('sampler') or {}
    if wanted not in ('auto', *CHOICES):
        raise UserError(f"data.shuffle is {wanted!r}; it must be 'auto', 'full' or 'shards'")
    if {**USUAL, **given} != USUAL:  # chosen by the user
        if wanted != 'auto' and given.get('type') != CHOICES[wanted]:
            raise UserError(f'data.shuffle is {wanted!r}, but train_dataloader.sampler is {dict(given)}: leave out one '
                            'of them')
        return
    size = int((store.persons.astype(int) * store.frames).sum()) * store.layout.num_joints * store.channels * 4
    if wanted == 'shards' or wanted == 'auto' and size > LARGE:
        loader.sampler = dict(type='ShardSampler')
