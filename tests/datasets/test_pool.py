"""A pool of stores: batches, and the shares and the order of its draws."""
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmskelssl.datasets import pool_sampler
from mmskelssl.datasets.pool import Pool, PooledDataset
from mmskelssl.datasets.pool_sampler import PoolSampler, check_batches, shuffled, turns
from mmskelssl.datasets.skeleton_dataset import SkeletonDataset, whole_batch
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
ONE = [dict(type='SelectPersons', max_persons=1), *PIPELINE[1:]]


def config(store: str, pipeline=PIPELINE) -> dict:
    return dict(type='SkeletonDataset', store=store, split='train', pipeline=pipeline)


@pytest.fixture
def pooled(tiny_store, tiny_kinect_store) -> PooledDataset:
    return PooledDataset([config(tiny_store), config(tiny_kinect_store, ONE)], ['ntu', 'kinect'], [3, 1])


def test_a_batch_has_the_clips_of_each_store(pooled, tiny_store, tiny_kinect_store):
    ntu, kinect = (SkeletonDataset(store, 'train', pipeline)
                   for store, pipeline in ((tiny_store, PIPELINE), (tiny_kinect_store, ONE)))
    assert len(pooled) == len(ntu) + len(kinect) == 64
    batch = pooled.__getitems__([40, 3, 63, 0])
    inputs, samples = batch['inputs'], batch['data_samples']
    assert list(inputs) == ['ntu25', 'kinect20']
    assert torch.equal(inputs['ntu25'], ntu.__getitems__([3, 0])['inputs'])
    assert torch.equal(inputs['kinect20'], kinect.__getitems__([8, 31])['inputs'])
    assert samples['store'].tolist() == [0, 0, 1, 1] and samples['num_frames'].tolist() == [8] * 4
    assert 'label' not in samples  # label 0 is another class in each store
    names = [pooled.name_of(i) for i in samples['index'].tolist()]
    assert names == [f'ntu/{ntu.ids[3]}', f'ntu/{ntu.ids[0]}', f'kinect/{kinect.ids[8]}', f'kinect/{kinect.ids[31]}']
    assert pooled.ids[40] == names[2] and len(set(pooled.ids)) == 64
    assert list(pooled.__getitems__([2])['inputs']) == ['ntu25']
    assert pooled[40]['inputs']['kinect20'].shape == (3, 8, 20, 1)


def test_stores_of_one_layout_form_one_tensor(tiny_kinect_store):
    pooled = PooledDataset([config(tiny_kinect_store), config(tiny_kinect_store, ONE)], ['two', 'one'], [1, 1])
    inputs = pooled.__getitems__([0, 32])['inputs']
    assert inputs.shape == (2, 3, 8, 20, 2) and not inputs[..., 1].any()  # the second person is absent
    assert torch.equal(inputs[0], inputs[1])


def test_clips_of_different_lengths_are_refused(tiny_store, tiny_kinect_store):
    longer = [*ONE[:1], dict(type='ResizeFrames', frames=16), *ONE[2:]]
    with pytest.raises(UserError, match='the clips of kinect have 16 frames .*, and those of ntu 8 of 3'):
        PooledDataset([config(tiny_store), config(tiny_kinect_store, longer)], ['ntu', 'kinect'], [1, 1])


def test_coordinates_must_match(tiny_store, tmp_path):
    with StoreWriter(tmp_path / 'flat', 'coco17', channels=2) as writer:
        writer.add('a', np.ones((1, 4, 17, 2)))
    with pytest.raises(UserError, match='tiny has 3 coordinates a joint, and .*flat 2'):
        Pool(dict(a=SkeletonStore(tiny_store), b=SkeletonStore(tmp_path / 'flat')))


def test_what_does_not_fit_is_remarked(tiny_store, tmp_path):
    with StoreWriter(tmp_path / 'cmu', 'cmu31', units='mm') as writer:  # one of its joints has no canonical name
        writer.add('a', np.ones((1, 4, 31, 3)))
    stores = dict(a=SkeletonStore(tiny_store), b=SkeletonStore(tmp_path / 'cmu'))
    joints, units = Pool(stores).remarks()
    layout = stores['b'].layout
    unnamed, = set(range(31)) - set(layout.named.values())
    assert f'does not get the joints {layout.joints[unnamed]} of b' in joints and 'b mm)' in units
    assert Pool(dict(a=stores['a'])).remarks() == []


@pytest.mark.parametrize('weights', [(3, 1), (1, 1), (.2, .5, .3), (5, 3, 2, 1), (1,)])
def test_every_run_of_draws_has_the_shares(weights):
    order, shares = turns(weights, 400), np.array(weights) / sum(weights)
    for start in range(0, 400, 16):
        counts = np.bincount(order[start:start + 16], minlength=len(weights))
        assert np.abs(counts - 16 * shares).max() < 2
    assert np.abs(np.bincount(order, minlength=len(weights)) - 400 * shares).max() < 1.5


@pytest.mark.parametrize('size', [1, 2, 3, 10, 31])
def test_a_clip_comes_again_only_after_a_third_of_its_store(size):
    order = np.concatenate([shuffled((0, 1), size, cycle) for cycle in range(30)])
    for cycle in range(30):
        assert sorted(order[cycle * size:(cycle + 1) * size]) == list(range(size))
    gaps = [np.diff(np.flatnonzero(order == clip)).min() for clip in range(size)]
    assert min(gaps) > size // 3
    assert size < 10 or len({tuple(order[i * size:(i + 1) * size]) for i in range(30)}) == 30


def draws(dataset, rank=0, world=1, epochs=(0,), monkeypatch=None):
    if monkeypatch:
        monkeypatch.setattr(pool_sampler, 'get_dist_info', lambda: (rank, world))
    sampler = PoolSampler(dataset, seed=5)
    made = []
    for epoch in epochs:
        sampler.set_epoch(epoch)
        made.append(list(sampler))
        assert len(made[-1]) == len(sampler)
    return made


def test_draws_depend_on_seed_and_epoch_only(pooled):
    straight = draws(pooled, epochs=range(4))
    assert draws(pooled, epochs=[3])[0] == straight[3]  # a resumed run
    assert len({tuple(epoch) for epoch in straight}) == 4
    # 16 of 64 draws are from the store of 32 clips: each pair of epochs uses up all of it.
    small = [[i for i in epoch if i >= 32] for epoch in straight]
    assert [len(epoch) for epoch in small] == [16] * 4
    assert sorted(small[0] + small[1]) == sorted(small[2] + small[3]) == list(range(32, 64))


def test_ranks_get_the_same_shares_of_different_clips(pooled, monkeypatch):
    """Over two epochs, two processes draw what one process draws in twice as many steps, without a clip in common."""
    parts = [draws(pooled, rank, 2, range(2), monkeypatch) for rank in (0, 1)]
    for first, second in zip(*parts, strict=True):
        assert [i < 32 for i in first] == [i < 32 for i in second]
        for start in range(0, 32, 8):
            batch = first[start:start + 8] + second[start:start + 8]
            assert len(set(batch)) == 16 and sum(i < 32 for i in batch) == 12


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_change_nothing(pooled, workers):
    def batches(number):
        loader = DataLoader(pooled, 16, sampler=PoolSampler(pooled, 0), num_workers=number, collate_fn=whole_batch)
        return [batch['data_samples']['index'] for batch in loader]

    assert all(torch.equal(*pair) for pair in zip(batches(0), batches(workers), strict=True))


def test_a_batch_with_a_clip_twice_is_refused(pooled):
    def loader(size):
        return DataLoader(pooled, size, sampler=PoolSampler(pooled, 0), collate_fn=whole_batch)

    check_batches(loader(40))
    with pytest.raises(UserError, match='data.stores.0.weight: ntu has 32 training clips, but 33 of the 44 clips'):
        check_batches(loader(44))
