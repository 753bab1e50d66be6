"""merge: several stores become one pool."""
import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import import_pyskl
from mmskelssl.datasets.importers.msr import JOINTS
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from tests.conftest import write_tiny_store


def small(path, classes=(), labels=(0, 1, None), subjects=(3, None, 1), layout='kinect20', units='m', splits=(),
          channels=3):
    joints = dict(kinect20=20, ntu25=25)[layout]
    with StoreWriter(path, layout, channels, units, list(classes)) as writer:
        for i, (label, subject) in enumerate(zip(labels, subjects, strict=True)):
            clip = np.random.default_rng(len(str(path)) + i).normal(size=(1, i + 2, joints, channels))
            writer.add(f's{i}', clip, label, subject, camera=i)
        for name, ids in dict(splits).items():
            writer.set_split(name, ids)
    return str(path)


def test_merge(tmp_path):
    one = small(tmp_path / 'one', ['sit', 'stand'], splits=dict(train=['s0', 's1'], test=['s2']))
    two = small(tmp_path / 'twoo', labels=(2, 0, 0), splits=dict(train=['s1'], extra=['s0']))
    merge([one, two + '/'], str(tmp_path / 'pool'))
    pool, stores = SkeletonStore(tmp_path / 'pool'), [SkeletonStore(one), SkeletonStore(two)]
    assert pool.ids == ['one/s0', 'one/s1', 'one/s2', 'twoo/s0', 'twoo/s1', 'twoo/s2']
    assert pool.classes == ['one: sit', 'one: stand', 'twoo: 0', 'twoo: 1', 'twoo: 2']
    assert pool.labels.tolist() == [0, 1, -1, 4, 2, 2] and pool.subjects.tolist() == [3, -1, 1, 7, -1, 5]
    assert pool.splits == dict(one_train=['one/s0', 'one/s1'], train=['one/s0', 'one/s1', 'twoo/s1'],
                               one_test=['one/s2'], twoo_train=['twoo/s1'], twoo_extra=['twoo/s0'])
    for i in range(6):
        np.testing.assert_array_equal(pool.keypoints(i), stores[i // 3].keypoints(i % 3))
        assert pool.samples[i]['camera'] == i % 3
    hashes = pool.index['provenance']['options']['data_hashes']
    assert hashes == dict(one=stores[0].data_hash, twoo=stores[1].data_hash)
    assert not [fault for fault in verify(str(tmp_path / 'pool')) if fault.fatal]


@pytest.mark.parametrize('other, message', [
    (dict(layout='ntu25'), 'different layout, kinect20 and ntu25'), (dict(units='mm'), 'different units, m and mm'),
    (dict(channels=2), 'different channels, 3 and 2'), (dict(classes=['sit']), 'outside its 1 classes: repair')])
def test_stores_that_do_not_fit(tmp_path, other, message):
    one, two = small(tmp_path / 'one'), small(tmp_path / 'two', **other)
    with pytest.raises(UserError, match=message):
        merge([one, two], str(tmp_path / 'pool'))
    with pytest.raises(UserError, match=r'(different|outside)'):
        merge([two, one], str(tmp_path / 'pool'))
    for paths in ([one], [one, one]):
        with pytest.raises(UserError, match='at least two stores with different names'):
            merge(paths, str(tmp_path / 'pool'))
    with pytest.raises(UserError, match='is not a store'):
        merge([one, str(tmp_path / 'none')], str(tmp_path / 'pool'))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['one', 'two']


def test_stores_without_labels(tmp_path):
    paths = [small(tmp_path / name, labels=(None,) * 3, subjects=(None,) * 3) for name in ('a', 'b')]
    merge(paths, str(tmp_path / 'pool'))
    pool = SkeletonStore(tmp_path / 'pool')
    assert set(pool.labels) == set(pool.subjects) == {-1} and pool.classes == []


def test_an_old_pool_is_replaced_when_asked(tmp_path):
    paths = [write_tiny_store(tmp_path / name, 'kinect20', 1, samples=12) for name in 'ab']
    small(tmp_path / 'pool')
    with pytest.raises(UserError, match='--overwrite'):
        merge(paths, str(tmp_path / 'pool'))
    merge(paths, str(tmp_path / 'pool'), overwrite=True)
    assert len(SkeletonStore(tmp_path / 'pool')) == 24


@pytest.mark.slow
def test_nwucla_and_msr(real_data, tmp_path):
    for name, file, joints in (('nwucla', 'nw_ucla', None), ('msr', 'msr_action3d', JOINTS)):
        with StoreWriter(tmp_path / name) as writer:
            import_pyskl(str(real_data / f'{file}.pkl'), writer, layout='kinect20', joints=joints)
    merge([str(tmp_path / 'nwucla'), str(tmp_path / 'msr')], str(tmp_path / 'pool'))
    pool, parts = SkeletonStore(tmp_path / 'pool'), [SkeletonStore(tmp_path / name) for name in ('nwucla', 'msr')]
    assert len(pool) == 1484 + 566 and len(pool.classes) == 30 and pool.labels.max() == 29
    for split in ('train', 'test'):
        assert len(pool.split(split)) == sum(len(part.split(split)) for part in parts)
    np.testing.assert_array_equal(pool.keypoints(1484 + 100), parts[1].keypoints(100))
    assert len(set(pool.subjects)) == 20 and not [f for f in verify(str(tmp_path / 'pool')) if f.fatal]
