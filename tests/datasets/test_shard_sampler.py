"""Shuffling within windows of shards: every clip once, the same order for every way to run, few shards at a time."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmskelssl.datasets import SkeletonDataset, StoreWriter, shard_sampler, whole_batch
from mmskelssl.datasets.shard_sampler import ShardSampler, shards_of
from mmskelssl.errors import UserError

PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]


def sharded(sizes: list[int], mixed: bool = False):
    """A data set of a store with shards of so many clips, of which every third is in another split.

    A split of a store of one array may be in any order (``mixed``).
    """
    ends = np.cumsum(sizes).tolist()
    shards = [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    positions = np.array([i for i in range(ends[-1]) if i % 3 or ends[-1] < 3])
    if mixed:
        positions = np.random.default_rng(0).permutation(positions)
    return SimpleNamespace(store=SimpleNamespace(shards=shards), positions=positions)


def draws(data, rank=0, world=1, epoch=0, **options) -> ShardSampler:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_sampler, 'get_dist_info', lambda: (rank, world))
        sampler = ShardSampler(data, **{'seed': 5, **options})
    sampler.set_epoch(epoch)
    return sampler


@settings(max_examples=25, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=12), world=st.integers(1, 4), window=st.integers(1, 5),
       epoch=st.integers(0, 3), mixed=st.booleans())
def test_each_clip_once_from_few_shards_at_a_time(sizes, world, window, epoch, mixed):
    data = sharded(sizes, mixed)
    count, owner = len(data.positions), np.searchsorted(np.cumsum(sizes), data.positions, 'right')
    samplers = [draws(data, rank, world, epoch, window=window) for rank in range(world)]
    parts = [list(sampler) for sampler in samplers]
    assert [len(part) for part in parts] == [count // world] * world == [len(sampler) for sampler in samplers]
    drawn = [clip for part in parts for clip in part]
    assert len({*drawn}) == len(drawn) and {*drawn} <= {*range(count)}  # all but the remainder, none of them twice
    readers = [{owner[clip] for clip in part} for part in parts]
    assert sum(map(len, readers)) <= len({*owner}) + world - 1  # a shard at the border of two processes is read by both
    for sampler, part, shards in zip(samplers, parts, readers, strict=True):
        windows = [{owner[clip] for clip in clips} for clips in sampler.windows()]
        assert all(len(one) <= window for one in windows) and sum(map(len, windows)) == len(shards)
        assert list(sampler) == part


def test_the_order_depends_on_seed_and_epoch():
    data = sharded([20] * 10)
    orders = [list(draws(data, epoch=epoch, window=3)) for epoch in range(3)]
    assert len({*map(tuple, orders)}) == 3 and list(draws(data, epoch=2, window=3)) == orders[2]
    assert list(draws(data, seed=6, window=3)) != orders[0]
    first = next(iter(draws(data, window=3).windows()))
    owner = (data.positions // 20)[first]
    assert (np.diff(owner) != 0).sum() > len(first) / 3  # the shards of a window are mixed


def test_a_store_of_one_array_is_cut_by_size(tiny_store):
    data = SkeletonDataset(tiny_store, 'train', PIPELINE)
    assert set(shards_of(data.store, data.positions)) == {0}  # all of it is less than 512 MB
    numbers = shards_of(data.store, data.positions, .02)
    assert (np.diff(numbers) >= 0).all() and len(set(numbers)) > 10
    sizes = np.array([data.store.keypoints(i).nbytes for i in data.positions])
    assert max(sizes[numbers == number].sum() for number in set(numbers)) < 2e4 + sizes.max()
    assert sorted(draws(data, shard_mb=1e-9)) == list(range(len(data)))  # each clip is a shard
    assert 'windows of 8 shards; the training clips are in 1 shards' in draws(data).describe()


@pytest.mark.parametrize('workers', [1, 2])
def test_the_number_of_workers_changes_nothing(tiny_store, workers):
    data = SkeletonDataset(tiny_store, 'train', PIPELINE)

    def batches(number):
        loader = DataLoader(data, 8, sampler=draws(data, shard_mb=.05, window=2), num_workers=number,
                            collate_fn=whole_batch)
        return torch.stack([batch['data_samples']['index'] for batch in loader])

    assert torch.equal(batches(0), batches(workers))


@pytest.mark.parametrize('options, message', [
    (dict(window=0), 'sampler.window is 0; it must be an integer of at least 1'),
    (dict(shard_mb=-1), 'sampler.shard_mb is -1; it must be a positive number'),
    (dict(shard_mb='1'), "sampler.shard_mb is '1'")])
def test_wrong_values(options, message):
    with pytest.raises(UserError, match=message):
        draws(sharded([4]), **options)


def test_a_data_set_without_a_store():
    with pytest.raises(UserError, match="needs a data set of one store, and list is none: write type='DefaultSampler'"):
        draws([1, 2])


@pytest.mark.parametrize('storage', ['float32', 'int16'])
def test_a_store_of_shards(tmp_path, storage):
    """The sampler takes the shards of the store, and preprocessing per batch reads them as the cache does."""
    clips = np.random.default_rng(0).normal(size=(9, 1, 1500, 20, 3)).astype(np.float32)
    with StoreWriter(tmp_path / 's', 'kinect20', storage=storage, shard_size=1) as writer:
        for i, clip in enumerate(clips):
            writer.add(f's{i}', clip, 0)
    cached, batched = (SkeletonDataset(tmp_path / 's', 'all', PIPELINE, preprocess=how) for how in ('cache', 'batch'))
    parts = cached.store.shards
    assert len(parts) > 1
    numbers = shards_of(cached.store, cached.positions)
    assert [numbers[part].tolist() for part in parts] == [[i] * len(part) for i, part in enumerate(parts)]
    first, *_ = draws(batched, window=1).windows()
    assert sorted(first) in [list(part) for part in parts]
    torch.testing.assert_close(batched.__getitems__(first), cached.__getitems__(first), rtol=1e-6, atol=1e-6)
