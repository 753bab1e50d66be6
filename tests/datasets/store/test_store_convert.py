"""Conversion of stores to another layout, and pools of different layouts."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.store.convert import convert
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.subset import subset
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from mmskelssl.layouts import convert_layout, get_layout
from mmskelssl.layouts.union import joint_mask
from tests.conftest import random_clip


def write(path, layout, channels=3, units='m'):
    rng = np.random.default_rng(1)
    with StoreWriter(path, layout, channels, units, ['sit', 'stand'], source='test') as writer:
        for i in range(4):
            writer.add(f's{i}', random_clip(rng, get_layout(layout), 1 + i % 2, 6)[..., :channels] + 9, i % 2,
                       subject=i, camera=7)
        writer.set_split('train', ['s0', 's1', 's2'])
        writer.set_split('test', ['s3'])
    return str(path)


def test_a_2d_store_in_pixels(tmp_path, capsys):
    path = write(tmp_path / 'coco', 'coco17', 2, 'px')
    convert(path, str(tmp_path / 'ntu'), 'ntu25')
    old, new = SkeletonStore(path), SkeletonStore(tmp_path / 'ntu')
    assert (new.layout.name, new.channels, new.head['units']) == ('ntu25', 2, 'px')
    for i in range(4):
        np.testing.assert_array_equal(new.keypoints(i), convert_layout(old.keypoints(i), 'coco17', 'ntu25'))
        assert {key: value for key, value in new.samples[i].items() if key != 'offset'} == {
            key: value for key, value in old.samples[i].items() if key != 'offset'}
    assert new.splits == old.splits and new.classes == old.classes and not verify(new.path)
    how = new.index['provenance']['options']['joints']
    assert how[0] == 'exact 12 of 25 joints' and 'hip_centre = 0.5 left_hip + 0.5 right_hip' in how[1]
    assert 'left_hand = left_wrist' in how[2] and how[2] in capsys.readouterr().out


def test_a_conversion_that_cannot_be_leaves_nothing(tmp_path):
    path = write(tmp_path / 'ntu', 'ntu25')
    with pytest.raises(UserError, match='no counterpart for nose'):
        convert(path, str(tmp_path / 'out'), 'coco17')
    with pytest.raises(UserError, match='no counterpart for left_hand'):
        convert(write(tmp_path / 'coco', 'coco17'), str(tmp_path / 'out'), 'ntu25', 'refuse')
    assert sorted(file.name for file in tmp_path.iterdir()) == ['coco', 'ntu']
    convert(path, str(tmp_path / 'out'), 'coco17', 'repeat')
    assert SkeletonStore(tmp_path / 'out').layout.name == 'coco17'
    stick = tmp_path / 'stick.json'  # a custom layout with names from other layouts
    stick.write_text(json.dumps(dict(name='stick', joints=['a', 'b'], parents=[-1, 0], hip=0, shoulders=[0, 1],
                                     canonical=['chest', 'head'])))
    convert(path, str(tmp_path / 'two'), str(stick))
    np.testing.assert_array_equal(SkeletonStore(tmp_path / 'two').keypoints(1),
                                  SkeletonStore(path).keypoints(1)[:, :, [20, 3]])


def test_pools_of_different_layouts(tmp_path):
    one, two = write(tmp_path / 'one', 'kinect20'), write(tmp_path / 'two', 'sbu15')
    with pytest.raises(UserError, match=r'different layout, kinect20 and sbu15: add --to LAYOUT \(sbu15\), or --names'):
        merge([one, two], str(tmp_path / 'pool'))
    with pytest.raises(UserError, match='--to or --names, not both'):
        merge([one, two], str(tmp_path / 'pool'), to='sbu15', names=True)
    with pytest.raises(UserError, match='no counterpart for left_wrist'):
        merge([one, two], str(tmp_path / 'pool'), to='kinect20')
    merge([one, two], str(tmp_path / 'pool'), to='sbu15')
    pool, stores = SkeletonStore(tmp_path / 'pool'), [SkeletonStore(one), SkeletonStore(two)]
    assert pool.layout.name == 'sbu15' and pool.joint_mask(0).all()
    np.testing.assert_array_equal(pool.keypoints(5), stores[1].keypoints(1))
    np.testing.assert_array_equal(pool.keypoints(1), convert_layout(stores[0].keypoints(1), 'kinect20', 'sbu15'))
    assert pool.index['provenance']['options']['joints']['one'][0] == 'exact 14 of 15 joints'


def test_a_pool_by_names_says_what_each_store_has(tmp_path):
    paths = [write(tmp_path / name, layout) for name, layout in (('one', 'kinect20'), ('two', 'sbu15'))]
    merge(paths, str(tmp_path / 'pool'), names=True)
    pool, stores = SkeletonStore(tmp_path / 'pool'), [SkeletonStore(path) for path in paths]
    assert pool.layout.num_joints == 21 and set(pool.layout.joints) == set(stores[0].layout.named) | {'neck'}
    for i in range(8):
        store, mask = stores[i // 4], pool.joint_mask(i)
        np.testing.assert_array_equal(mask, joint_mask(store.layout, pool.layout))
        assert mask.sum() == store.layout.num_joints and not pool.keypoints(i)[:, :, ~mask].any()
        for name, joint in store.layout.named.items():
            np.testing.assert_array_equal(pool.keypoints(i)[:, :, pool.layout.named[name]],
                                          store.keypoints(i % 4)[:, :, joint])
    assert pool.index['joint_masks'].keys() == {'one', 'two'} and not verify(pool.path)
    subset(pool.path, str(tmp_path / 'part'), split='two_train')
    part = SkeletonStore(tmp_path / 'part')
    assert len(part) == 3 and not part.joint_mask(0)[part.layout.named['left_wrist']]
    for change in (lambda: merge([pool.path, paths[0]], str(tmp_path / 'again'), to='sbu15'),
                   lambda: convert(pool.path, str(tmp_path / 'again'), 'sbu15')):
        with pytest.raises(UserError, match='pool by names'):
            change()


@pytest.mark.parametrize('masks', [{}, {'one': [1]}, {'one': [2] * 21}, {'one': None}, [1], 'one'])
def test_a_damaged_mask_is_one_line(tmp_path, masks):
    paths = [write(tmp_path / name, layout) for name, layout in (('one', 'kinect20'), ('two', 'sbu15'))]
    merge(paths, str(tmp_path / 'pool'), names=True)
    file = tmp_path / 'pool/index.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(joint_masks=masks)))
    with pytest.raises(UserError, match='is damaged'):
        SkeletonStore(tmp_path / 'pool').joint_mask(0)


def test_without_names_nothing_is_joined(tmp_path):
    bare = dict(name='bare', joints=['a', 'b'], parents=[-1, 0], hip=0, shoulders=[0, 1])
    with StoreWriter(tmp_path / 'bare', bare) as writer:
        writer.add('x', np.ones((1, 3, 2, 3)))
    with pytest.raises(UserError, match='none of its joints has a canonical name'):
        merge([str(tmp_path / 'bare'), write(tmp_path / 'ntu', 'ntu25')], str(tmp_path / 'pool'), names=True)
    with pytest.raises(UserError, match='none of its joints has a canonical name'):
        convert(str(tmp_path / 'bare'), str(tmp_path / 'out'), 'ntu25')
