"""repair: repairable faults are repaired in a copy, and the rest is listed."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from tests.conftest import write_tiny_store


@pytest.fixture
def damaged(tmp_path):
    """A store with nine faults."""
    path = tmp_path / 'damaged'
    write_tiny_store(path, 'kinect20', persons=2, samples=12, classes=3)
    index, rows = json.loads((path / 'index.json').read_text()), np.load(path / 'keypoints.npy')
    clips = [rows[s['offset']:s['offset'] + s['persons'] * s['frames']] for s in index['samples']]
    clips[0][3, 5] = np.nan
    clips[1][:, 4] = np.nan  # a joint that is never detected
    clips[2][:3] = 0
    clips[2][index['samples'][2]['frames']:][:3] = 0
    clips[3][:] = 0
    clips[4][:index['samples'][4]['frames']] = 0
    index['samples'][5]['label'] = 99
    index['samples'][6]['camera'] = 2
    index['samples'][7]['id'] = 'clip006'
    index['splits'] = dict(train=['clip000', 'clip000', 'clip005', 'ghost'], test=['clip005', 'clip008', 'clip003'],
                           empty=['clip001'])
    np.save(path / 'keypoints.npy', rows)
    (path / 'index.json').write_text(json.dumps(index))
    return path


def test_everything_at_once(damaged, tmp_path):
    assert {fault.what.split()[0] for fault in verify(str(damaged)) if fault.fatal} >= {'the', 'NaN', 'every', 'label'}
    before = {file.name: file.read_bytes() for file in damaged.iterdir()}
    repair(str(damaged), str(tmp_path / 'mended'))
    assert {file.name: file.read_bytes() for file in damaged.iterdir()} == before
    old, new = SkeletonStore(damaged), SkeletonStore(tmp_path / 'mended')
    assert not [fault for fault in verify(str(tmp_path / 'mended')) if fault.fatal]
    assert new.ids == [f'clip{i:03d}' for i in (0, 2, 4, 5, 6, 8, 9, 10, 11)]
    about = {what: {entry['id']: entry['reason'] for entry in new.index['provenance'][what]}
             for what in ('skipped', 'repaired', 'noted')}
    assert set(about['skipped']) == {'clip001', 'clip003', 'clip006'}
    assert 'joint 4 is never seen' in about['skipped']['clip001'] and 'no body' in about['skipped']['clip003']
    assert about['skipped']['clip006'] == 'the id appears twice'
    assert set(about['repaired']) == {'clip000', 'clip002', 'clip004', 'clip005'}
    assert 'frames without a body dropped' in about['repaired']['clip002']
    assert '1 of 2 persons without a body dropped' in about['repaired']['clip004']
    assert about['repaired']['clip005'] == 'label 99 is outside 0..2 and was removed'
    assert about['noted'] == {'clip005': "is in 'train' and was left out of 'test'"}
    assert new.splits == dict(train=['clip000', 'clip005'], test=['clip008'])
    assert new.samples[4]['camera'] == 2 and new.labels[3] == -1 and new.classes == old.classes
    np.testing.assert_array_equal(new.keypoints(5), old.keypoints(8))
    np.testing.assert_array_equal(new.keypoints(1), old.keypoints(2)[:, 3:])
    np.testing.assert_array_equal(new.keypoints(2), old.keypoints(4)[1:])


def test_a_test_split_of_twins_alone_goes(tmp_path):
    path = tmp_path / 's'
    write_tiny_store(path, 'kinect20', persons=1, samples=12)
    index, rows = json.loads((path / 'index.json').read_text()), np.load(path / 'keypoints.npy')
    first, last = index['samples'][0], index['samples'][-1]
    rows = np.concatenate([rows[:last['offset']], rows[:first['frames']]])
    last['frames'] = first['frames']
    index['splits'] = dict(train=['clip000'], test=['clip011'])
    np.save(path / 'keypoints.npy', rows)
    (path / 'index.json').write_text(json.dumps(index))
    repair(str(path), str(tmp_path / 'kept'))
    assert SkeletonStore(tmp_path / 'kept').splits == index['splits']
    repair(str(path), str(tmp_path / 'dropped'), drop_twins=True)
    store = SkeletonStore(tmp_path / 'dropped')
    assert store.splits == dict(train=['clip000']) and 'clip011' in store.ids
    assert [entry['id'] for entry in store.index['provenance']['noted']] == ['clip011']


def test_places(tmp_path):
    path = write_tiny_store(tmp_path / 's', 'kinect20', persons=1, samples=12)
    with pytest.raises(UserError, match='s exists: .*--overwrite'):
        repair(path, path)
    before = SkeletonStore(path).data_hash
    repair(path, path, overwrite=True)
    assert SkeletonStore(path).data_hash == before
    with pytest.raises(UserError, match='is not a store'):
        repair(str(tmp_path / 'none'), str(tmp_path / 't'))
