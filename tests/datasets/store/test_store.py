"""Stores: written samples are read back, partial stores never appear, and damage is reported."""
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmskelssl import __version__
from mmskelssl.datasets.store import array_files, single
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError


def clip(persons=1, frames=3, joints=20, channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(persons, frames, joints, channels)).astype(np.float32)


def write(path, clips=None, **options):
    with StoreWriter(path, 'kinect20', **options) as writer:
        for i, keypoints in enumerate(clips or [clip()]):
            writer.add(f's{i}', keypoints, label=i % 2)
        writer.set_split('train', [f's{i}' for i in range(len(clips or [0]))])
    return SkeletonStore(path)


def edit(path, change):
    index = Path(path) / 'index.json'
    content = json.loads(index.read_text())
    change(content)
    index.write_text(json.dumps(content))


def test_what_goes_in_comes_out(tmp_path):
    clips = [clip(2, 5, seed=1), clip(1, 1, seed=2), clip(3, 4, seed=3)]
    with StoreWriter(tmp_path / 'deep' / 's', 'kinect20', classes=['a', 'b'], units='mm', source='here') as writer:
        writer.add('x', clips[0], label=np.int64(1), subject=7, camera=2)
        writer.skip('bad', 'because')
        writer.add('y', clips[1].astype(np.float64))
        writer.add('z', clips[2][:, ::-1], label=0)
        writer.set_split('test', ['z', 'x'])
    store = SkeletonStore(tmp_path / 'deep' / 's')
    assert store.ids == ['x', 'y', 'z'] and len(store) == 3
    assert store.labels.tolist() == [1, -1, 0] and store.labels.dtype == np.int64
    assert store.samples[0] == dict(id='x', offset=0, persons=2, frames=5, label=1, subject=7, camera=2)
    assert store.layout.name == 'kinect20' and store.classes == ['a', 'b'] and store.channels == 3
    assert store.index['units'] == 'mm' and store.index['provenance'] == dict(
        source='here', options={}, importer_version=__version__, skipped=[dict(id='bad', reason='because')],
        repaired=[], noted=[])
    np.testing.assert_array_equal(store.keypoints(0), clips[0])
    np.testing.assert_array_equal(store.keypoints(1), clips[1])
    np.testing.assert_array_equal(store.keypoints(2), clips[2][:, ::-1])
    assert store.split('test').tolist() == [2, 0] and store.split('all').tolist() == [0, 1, 2]
    store.verify_hash()
    assert sorted(os.listdir(tmp_path / 'deep')) == ['s']
    assert sorted(os.listdir(tmp_path / 'deep' / 's')) == ['index.json', 'index.npz', 'keypoints.npy']


def test_the_file_holds_one_person_after_the_other(tmp_path):
    clips = [clip(2, 3, seed=1), clip(1, 2, seed=2)]
    write(tmp_path / 's', clips)
    rows = np.load(tmp_path / 's' / 'keypoints.npy', allow_pickle=False)
    expected = [keypoints[m, t] for keypoints in clips for m in range(len(keypoints))
                for t in range(keypoints.shape[1])]
    assert rows.shape == (8, 20, 3) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


def test_frames_are_mapped_not_read(tmp_path):
    store = write(tmp_path / 's')
    assert isinstance(store.keypoints(0).base.base, np.memmap) or isinstance(store.keypoints(0), np.memmap)
    assert not store.keypoints(0).flags.writeable


def test_a_layout_may_be_a_dict(tmp_path):
    layout = dict(name='stick', joints=['a', 'b', 'c'], parents=[0, 0, 0], hip=0, shoulders=[1, 2], pairs=[[1, 2]])
    with StoreWriter(tmp_path / 's', layout, channels=2) as writer:
        writer.add('one', clip(joints=3, channels=2))
    store = SkeletonStore(tmp_path / 's')
    assert store.layout.name == 'stick' and store.layout.parents == (0, 0, 0) and store.layout.pairs == ((1, 2),)


@pytest.mark.parametrize('bad, message', [
    (dict(keypoints=clip(joints=25)), r"sample s1: .*\(1, 3, 25, 3\).*'kinect20' needs \(M, T, 20, 3\)"),
    (dict(keypoints=clip(channels=2)), r'\(1, 3, 20, 2\)'),
    (dict(keypoints=clip()[0]), r'\(3, 20, 3\)'),
    (dict(keypoints=np.full((1, 3, 20, 3), np.nan)), 'sample s1: .*NaN'),
    (dict(keypoints=np.full((1, 3, 20, 3), 1e300)), 'sample s1: .*Inf'),
    (dict(keypoints=clip(frames=0)), 'sample s1: empty'),
    (dict(keypoints=clip(persons=0)), 'sample s1: empty'),
    (dict(name='s0'), 'sample s0: the id appears twice'),
    (dict(label=1.5), 'sample s1: label and subject must be integers'),
    (dict(subject='P01'), 'sample s1: label and subject must be integers'),
    (dict(label=-1), 'sample s1: label -1 is negative'),
    (dict(camera=np.zeros(2)), 'sample s1: .*plain'),
])
def test_a_bad_sample_is_refused_and_the_rest_stays_whole(tmp_path, bad, message):
    with StoreWriter(tmp_path / 's', 'kinect20') as writer:
        writer.add('s0', clip(seed=1))
        with pytest.raises(UserError, match=message):
            writer.add(**dict(dict(name='s1', keypoints=clip()), **bad))
        writer.add('s1', clip(seed=2))
    store = SkeletonStore(tmp_path / 's')
    np.testing.assert_array_equal(store.keypoints(0), clip(seed=1))
    np.testing.assert_array_equal(store.keypoints(1), clip(seed=2))


def test_a_failed_import_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), StoreWriter(tmp_path / 's', 'kinect20') as writer:
        writer.add('a', clip())
        raise ZeroDivisionError
    with pytest.raises(UserError, match=r'no sample could be imported.*first: f\.json: it is empty'), \
            StoreWriter(tmp_path / 's', 'kinect20') as writer:
        writer.skip('f.json', 'it is empty')
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_store(tmp_path, monkeypatch):
    before = write(tmp_path / 's').data_hash

    def full(file):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(array_files, 'sync', full)
    with pytest.raises(UserError, match='cannot write .*s: .*No space left'):
        write(tmp_path / 's', [clip(seed=5)], overwrite=True)
    assert os.listdir(tmp_path) == ['s']
    store = SkeletonStore(tmp_path / 's')
    store.verify_hash()
    assert store.data_hash == before


def test_overwriting_is_asked_for_and_only_hits_stores(tmp_path):
    first = write(tmp_path / 's')
    with pytest.raises(UserError, match='exists: .*--overwrite'):
        write(tmp_path / 's')
    second = write(tmp_path / 's', [clip(seed=9)], overwrite=True)
    assert second.data_hash != first.data_hash and os.listdir(tmp_path) == ['s']
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'thesis.tex').write_text('years of work')
    with pytest.raises(UserError, match='is not a store, so it is not overwritten'):
        write(tmp_path / 'home', overwrite=True)
    assert (tmp_path / 'home' / 'thesis.tex').read_text() == 'years of work'


def test_of_two_writers_the_slower_one_does_not_replace(tmp_path):
    with pytest.raises(UserError, match='exists'), StoreWriter(tmp_path / 's', 'kinect20') as slow:
        slow.add('slow', clip())
        write(tmp_path / 's', [clip(seed=3)])
    assert SkeletonStore(tmp_path / 's').ids == ['s0'] and os.listdir(tmp_path) == ['s']


def test_no_store_names_the_command(tmp_path):
    with pytest.raises(UserError, match=r'not a store .*python tools/prepare_data\.py SOURCE PATH --out .*none'):
        SkeletonStore(tmp_path / 'none')


def test_a_truncated_array_is_noticed(tmp_path):
    write(tmp_path / 's', [clip(frames=50)])
    file = tmp_path / 's' / 'keypoints.npy'
    os.truncate(file, file.stat().st_size - 100)
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(tmp_path / 's')
    np.save(file, clip(frames=49)[0])  # a whole file, but one frame short
    with pytest.raises(UserError, match=r'shape \(49, 20, 3\), but index.json describes float32 \(50, 20, 3\)'):
        SkeletonStore(tmp_path / 's')
    np.save(file, np.array([{}] * 50, object))
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(tmp_path / 's')
    file.unlink()
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(tmp_path / 's')


@pytest.mark.parametrize('change, message', [
    (lambda index: index.pop('samples'), "no key 'samples'"),
    (lambda index: index.update(layout='ntu99'), "unknown layout 'ntu99'"),
    (lambda index: index.update(channels=2), r'describes float32 \(6, 20, 2\)'),
    (lambda index: index['samples'][0].pop('offset'), r'index.json is damaged \(sample "s0": offset is null\)'),
    (lambda index: index['samples'][1].update(offset=1), 'sample "s1": offset 1 does not follow the sample before'),
    (lambda index: index['samples'][0].update(frames=-3), 'sample "s0": frames is -3'),
    (lambda index: index['samples'][1].update(persons='two'), 'sample "s1": persons is "two"'),
])
def test_a_damaged_index_is_noticed(tmp_path, change, message):
    write(tmp_path / 's', [clip(), clip()])
    edit(tmp_path / 's', change)
    with pytest.raises(UserError, match=message):
        SkeletonStore(tmp_path / 's')


def test_an_index_that_is_no_json(tmp_path):
    write(tmp_path / 's')
    for content in (b'{"samples": [', b'\xff\xfe', b'[]'):
        (tmp_path / 's' / 'index.json').write_bytes(content)
        with pytest.raises(UserError, match='index.json is damaged'):
            SkeletonStore(tmp_path / 's')


@pytest.mark.parametrize('ids, message', [
    (None, "no split 'train'; it has other"), ([], "'train' is empty"), (['s0', 's0'], "'train' names a sample twice"),
    (['s0', 's7'], "'train' names 1 unknown samples, first 's7'")])
def test_bad_splits_are_refused(tmp_path, ids, message):
    write(tmp_path / 's')
    splits = dict(other=['s0'], **({} if ids is None else dict(train=ids)))
    edit(tmp_path / 's', lambda index: index.update(splits=splits))
    with pytest.raises(UserError, match=message):
        SkeletonStore(tmp_path / 's').split('train')


def test_an_id_that_appears_twice(tmp_path):
    write(tmp_path / 's', [clip(), clip()])
    edit(tmp_path / 's', lambda index: index['samples'][1].update(id='s0'))
    with pytest.raises(UserError, match="the id 's0' appears twice"):
        SkeletonStore(tmp_path / 's').split('train')


def test_the_hash_is_of_the_data_not_of_where_they_came_from(tmp_path):
    base = write(tmp_path / 's', source='a').data_hash
    assert write(tmp_path / 'same', source='b').data_hash == base
    moved = clip()
    moved[0, 1, 2, 0] += 1e-3
    assert write(tmp_path / 'moved', [moved]).data_hash != base
    for i, change in enumerate((lambda index: index['samples'][0].update(label=1),
                                lambda index: index['splits'].update(test=['s0']))):
        shutil.copytree(tmp_path / 's', tmp_path / f'c{i}')
        edit(tmp_path / f'c{i}', change)
        assert SkeletonStore(tmp_path / f'c{i}').data_hash != base


def test_a_flipped_byte_is_found(tmp_path):
    store = write(tmp_path / 's')
    store.verify_hash()
    with open(tmp_path / 's' / 'keypoints.npy', 'r+b') as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(UserError, match='has changed since it was written'):
        SkeletonStore(tmp_path / 's').verify_hash()


# --- index.npz: the index in columns ---------------------------------------------------------------------------------

def no_json(monkeypatch):
    def load(file):
        raise AssertionError('index.json is parsed')
    monkeypatch.setattr(single, 'read_index', load)


def test_opening_parses_no_json_index(tmp_path, monkeypatch):
    expected = write(tmp_path / 's', [clip(2, 5, seed=1), clip(seed=2)], classes=['a', 'b'], units='mm')
    samples, splits = expected.samples, expected.splits
    no_json(monkeypatch)
    store = SkeletonStore(tmp_path / 's')
    assert store.ids == ['s0', 's1'] and store.labels.tolist() == [0, 1] and store.subjects.tolist() == [-1, -1]
    assert store.persons.tolist() == [2, 1] and store.frames.tolist() == [5, 3]
    assert store.split('train').tolist() == [0, 1] and store.split('all').tolist() == [0, 1]
    assert store.classes == ['a', 'b'] and store.layout.name == 'kinect20' and store.head['units'] == 'mm'
    assert store.data_hash == expected.data_hash and store.positions == dict(s0=0, s1=1)
    np.testing.assert_array_equal(store.keypoints(0), clip(2, 5, seed=1))
    with pytest.raises(AssertionError, match='index.json is parsed'):
        len(store.samples)
    monkeypatch.undo()
    assert store.samples == samples and store.splits == splits
    store.verify_hash()


def test_an_edited_index_wins(tmp_path):
    write(tmp_path / 's', [clip(), clip(seed=1)])
    edit(tmp_path / 's', lambda index: [index['samples'][0].update(label=7), index['splits'].update(train=['s1'])])
    store = SkeletonStore(tmp_path / 's')
    assert store.labels.tolist() == [7, 1] and store.split('train').tolist() == [1]


def test_an_edit_of_the_same_length_is_noticed(tmp_path):
    write(tmp_path / 's', [clip(), clip(seed=1)])
    file = tmp_path / 's' / 'index.json'
    text, times = file.read_text(), file.stat()
    file.write_text(text.replace('"label": 1', '"label": 5'))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(text) == len(file.read_text()) and SkeletonStore(tmp_path / 's').labels.tolist() == [0, 5]


@pytest.mark.parametrize('damage', ['none', 'empty', 'cut', 'garbage', 'folder', 'every byte', 'objects', 'column'])
def test_a_damaged_column_file_is_ignored(tmp_path, damage):
    expected = write(tmp_path / 's', [clip(), clip(seed=1)])
    file = tmp_path / 's' / 'index.npz'
    content = file.read_bytes()
    positions = range(0, len(content), 97) if damage == 'every byte' else [0]
    for position in positions:
        if damage == 'none':
            file.unlink()
        elif damage == 'empty':
            file.write_bytes(b'')
        elif damage == 'cut':
            file.write_bytes(content[:-100])
        elif damage == 'garbage':
            file.write_bytes(os.urandom(500))
        elif damage == 'folder':
            file.unlink()
            file.mkdir()
        elif damage == 'every byte':
            file.write_bytes(content[:position] + bytes([content[position] ^ 255]) + content[position + 1:])
        else:
            with np.load(file) as columns:
                columns = dict(columns)
            if damage == 'objects':
                columns['id'] = np.array(['s0', None], object)
            else:
                del columns['label']
            np.savez(file, **columns)
        store = SkeletonStore(tmp_path / 's')
        assert store.data_hash == expected.data_hash and store.labels.tolist() == [0, 1] and store.ids == ['s0', 's1']
        assert store.split('train').tolist() == [0, 1]


def test_an_old_store_without_columns_opens(tmp_path):
    """Stores of version 1 have no index.npz and need none."""
    expected = write(tmp_path / 's', [clip(), clip(seed=1)])
    (tmp_path / 's' / 'index.npz').unlink()
    edit(tmp_path / 's', lambda index: index.update(version=1))
    store = SkeletonStore(tmp_path / 's')
    assert store.ids == expected.ids and store.data_hash == expected.data_hash
    assert store.split('train').tolist() == [0, 1]


def test_a_store_travels_to_other_processes(tmp_path):
    import pickle
    store = pickle.loads(pickle.dumps(write(tmp_path / 's', [clip(), clip(seed=1)])))
    assert store.labels.tolist() == [0, 1] and store.ids == ['s0', 's1']


@pytest.mark.parametrize('bad, message', [
    (dict(name=''), 'at least one character'), (dict(name='a\0'), 'no control characters'),
    (dict(subject=1 << 31), 'subject 2147483648 is negative or huge'), (dict(subject=-1), 'subject -1 is negative'),
    (dict(name='\udcff'), 'no control characters')])
def test_what_would_break_the_index_is_refused_at_once(tmp_path, bad, message):
    with StoreWriter(tmp_path / 's', 'kinect20') as writer:
        with pytest.raises(UserError, match=message):
            writer.add(**dict(dict(name='s1', keypoints=clip()), **bad))
        writer.add('s1', clip())
    assert SkeletonStore(tmp_path / 's').ids == ['s1']


@pytest.mark.parametrize('channels', [0, 1, 5])
def test_channels_that_are_no_coordinates(tmp_path, channels):
    with pytest.raises(UserError, match='expected 2, 3 or 4'):
        StoreWriter(tmp_path / 's', 'kinect20', channels)
