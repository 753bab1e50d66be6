"""Stores of shards: they read like stores of one array, and no file of theirs can mislead the reader."""
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.skeleton_dataset import SkeletonDataset, preprocessed
from mmskelssl.datasets.store import shard_writer, shards
from mmskelssl.datasets.store.convert import convert
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.relabel import relabel
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.split import draw_split
from mmskelssl.datasets.store.statistics import store_stats
from mmskelssl.datasets.store.storage import STORAGE
from mmskelssl.datasets.store.subset import subset
from mmskelssl.datasets.store.verify import verify, verify_across
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLIPS = [np.random.default_rng(i).normal(size=(1 + i % 2, 750 + i, 20, 3)).astype(np.float32) for i in range(12)]


def write(path, clips=CLIPS, shard_size=1, scores=False, **options):
    """Write a store whose shards have three clips of CLIPS each."""
    with StoreWriter(path, 'kinect20', shard_size=shard_size, classes=['a', 'b'], source='here', scores=scores,
                     **options) as writer:
        for i, clip in enumerate(clips):
            writer.add(f's{i}', clip, label=i % 2, subject=None if i == 1 else i, camera=i,
                       scores=np.abs(clip[..., 0]) if scores else None)
        writer.skip('lost', 'because')
        writer.set_split('test', [f's{i}' for i in range(len(clips)) if i % 3 == 0])
        writer.set_split('train', [f's{i}' for i in range(len(clips)) if i % 3])
    return SkeletonStore(path)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return write(tmp_path_factory.mktemp('shards') / 's')


@pytest.fixture
def own(tmp_path):
    write(tmp_path / 's')
    return tmp_path / 's'


def edit(path, change):
    index = json.loads((path / 'index.json').read_text())
    change(index)
    (path / 'index.json').write_text(json.dumps(index))


def save(path, what, number=1, **arrays):
    np.save(path / 'shards' / f'0000{number}.{what}.npy', **arrays)


def test_shards_read_like_one_array(made, tmp_path):
    plain = write(tmp_path / 'plain', shard_size=None)
    assert len(made.shards) > 2 and made.sharded and not plain.sharded and len(plain.shards) == 1
    assert made.ids == plain.ids and made.samples[-1]['id'] == 's11' and len(made) == len(plain)
    assert [{k: v for k, v in sample.items() if k != 'offset'} for sample in plain.samples] == made.samples
    for what in ('labels', 'subjects', 'persons', 'frames'):
        assert getattr(made, what).tolist() == getattr(plain, what).tolist()
    for split in ('train', 'test', 'all'):
        assert made.split(split).tolist() == plain.split(split).tolist()
    assert dict(made.splits) == plain.splits and made.head['units'] == plain.head['units']
    assert made.index['provenance']['skipped'] == plain.index['provenance']['skipped']
    for i, clip in enumerate(CLIPS):
        np.testing.assert_array_equal(made.keypoints(i), clip)
        assert not made.keypoints(i).flags.writeable and made.name(i) == f's{i}'
    np.testing.assert_array_equal(made.keypoints(-1), CLIPS[-1])
    with pytest.raises(UserError, match="no split 'other'; it has test, train"):
        made.split('other')
    made.verify_hash()
    assert verify(made.path) == []


def test_clips_are_preprocessed_from_shards(made, tmp_path):
    pipeline = [dict(type='SelectPersons', max_persons=1), dict(type='ResizeFrames', frames=8),
                dict(type='PackSkeleton')]
    plain = write(tmp_path / 'plain', shard_size=None)
    clips, lengths = (np.stack([preprocessed(store, pipeline, str(tmp_path / 'c'))[k] for store in (made, plain)])
                      for k in (0, 1))
    assert (clips[0] == clips[1]).all() and (lengths[0] == lengths[1]).all()
    assert len(SkeletonDataset(made.path, 'test', pipeline, cache_dir=str(tmp_path / 'c'))) == 4


def test_opening_reads_no_shard(made, monkeypatch):
    from mmskelssl.datasets.store import shard_files
    monkeypatch.setattr(shard_files.LocalFiles, 'open', None)
    assert len(SkeletonStore(made.path)) == len(CLIPS)


def test_only_some_files_are_open_at_a_time(made, monkeypatch):
    monkeypatch.setattr(shards, 'MOST_MAPPED', 2)
    store, before = SkeletonStore(made.path), len(os.listdir('/proc/self/fd'))
    assert len(store.shards) == 4
    for _ in range(2):
        for i in range(0, 12, 2):
            np.testing.assert_array_equal(store.keypoints(i), CLIPS[i])
        assert store.samples[0]['camera'] == 0 and store.labels.tolist() == made.labels.tolist()
        assert store.ids == made.ids and len(os.listdir('/proc/self/fd')) <= before + 2 * 4


def test_a_store_has_shards_when_it_needs_them(tmp_path, monkeypatch):
    assert not write(tmp_path / 'small', shard_size=None).sharded
    monkeypatch.setattr('mmskelssl.datasets.store.writer.SHARD', 1)
    assert len(write(tmp_path / 'large', shard_size=None).shards) > 2
    one = write(tmp_path / 'one', clips=[np.tile(CLIPS[0], (1, 20, 1, 1)), CLIPS[1]])  # larger than a shard
    assert [len(part) for part in one.shards] == [1, 1]


@pytest.mark.parametrize('storage, most', [('float16', 2.0 ** -11 * 5), ('int16', 5.01e-4)])
def test_storage(tmp_path, capsys, storage, most):
    store = write(tmp_path / 's', storage=storage, scores=True)
    error = max(np.abs(store.keypoints(i) - clip).max() for i, clip in enumerate(CLIPS))
    assert 0 < error <= most and store.keypoints(0).dtype == np.float32
    assert error == pytest.approx(store.index['provenance']['largest_error'])
    assert f'storage {storage}: coordinates differ from the source by up to {error:.3g} m' in capsys.readouterr().out
    np.testing.assert_array_equal(store.scores(3), np.abs(CLIPS[3][..., 0]))
    file = tmp_path / 's' / 'shards' / '00000.keypoints.npy'
    assert np.load(file, mmap_mode='r').dtype == STORAGE[storage][0]
    subset(store.path, str(tmp_path / 'part'), split='test')  # keeps the storage, and adds no error
    part = SkeletonStore(tmp_path / 'part')
    assert part.storage == storage and part.index['provenance']['largest_error'] == 0
    np.testing.assert_array_equal(part.keypoints(1), store.keypoints(3))


def test_what_a_storage_cannot_hold_is_refused(tmp_path):
    far = CLIPS[0].copy()
    far[0, 5, 3] = 32.8
    with pytest.raises(UserError, match='sample s0: a coordinate of 32.8 is beyond the 32.767 that storage int16'):
        write(tmp_path / 's', clips=[far], storage='int16')
    with pytest.raises(UserError, match='int16 keeps millimetres, so it needs coordinates in m, not in px'):
        write(tmp_path / 's', units='px', storage='int16')
    with pytest.raises(UserError, match="storage 'int8', expected float32, float16, int16"):
        write(tmp_path / 's', storage='int8')
    with pytest.raises(UserError, match='--shard-size 0: must be 1 MB or more'):
        write(tmp_path / 's', shard_size=0)
    assert os.listdir(tmp_path) == []


def test_every_command_takes_shards(tmp_path):
    one, two = write(tmp_path / 'one', storage='int16'), write(tmp_path / 'two', clips=CLIPS[:3] + [CLIPS[0][:, ::3]])
    merge([one.path, two.path], str(tmp_path / 'pool'), names=True)
    pool = SkeletonStore(tmp_path / 'pool')
    assert pool.storage == 'float32' and len(pool) == 16 and pool.splits['train'][-2:] == ['two/s1', 'two/s2']
    np.testing.assert_array_equal(pool.keypoints(3), one.keypoints(3)[:, :, [one.layout.named[name]
                                                                            for name in pool.layout.joints]])
    convert(one.path, str(tmp_path / 'sbu'), 'sbu15')
    assert SkeletonStore(tmp_path / 'sbu').storage == 'int16' and len(SkeletonStore(tmp_path / 'sbu')) == 12
    assert store_stats(one.path)['splits'] == dict(test=4, train=8)
    assert [fault.samples[0] for fault in verify_across([one.path, two.path], .05)] == ['s0 like s0, 0.000']
    assert 'a store; nothing to import' in next(detect(one.path))


# --- changes in place ------------------------------------------------------------------------------------------------

def test_edits_change_the_entries_of_samples_only(own, tmp_path):
    before, hashes = SkeletonStore(own), {file: file.read_bytes() for file in own.glob('shards/*[st].npy')}
    train = before.split('train').tolist()
    draw_split(str(own), .5, name='half')
    assert before.samples[11]['camera'] == 11 and before.keypoints(11).any()  # a run that opened it earlier goes on
    (tmp_path / 'labels.csv').write_text('name,label,subject\ns2,c,\ns11,c,7\n')
    relabel(str(own), str(tmp_path / 'labels.csv'))
    store = SkeletonStore(own)
    assert store.data_hash != before.data_hash and verify(str(own)) == []
    assert len(store.split('half_train')) + len(store.split('half_test')) == 12
    assert store.split('train').tolist() == train
    assert store.classes == ['a', 'b', 'c'] and store.labels.tolist() == [0, 1, 2, *[1, 0] * 4, 2]
    assert store.subjects[[2, 11]].tolist() == [-1, 7] and store.samples[5]['camera'] == 5
    assert [edit['command'] for edit in store.index['provenance']['edits']] == ['split', 'relabel']
    names = {file.name for file in own.glob('shards/*')}
    assert {file: file.read_bytes() for file in hashes if 'samples' not in file.name} == {
        file: content for file, content in hashes.items() if 'samples' not in file.name}
    assert {'00000.samples-1.npy', '00000.samples-2.npy'} <= names and '00000.samples-0.npy' not in names
    assert '00001.samples-1.npy' in names and '00001.samples-2.npy' not in names  # the table names no sample of it
    with pytest.raises(UserError, match='samples is missing. If the store was changed while it was in use'):
        before.keypoints(0)


def test_a_killed_edit_leaves_the_store(own, monkeypatch):
    before = SkeletonStore(own).data_hash
    monkeypatch.setattr('mmskelssl.datasets.store.shard_edit.write_index', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw_split(str(own), .5, name='half')
    monkeypatch.undo()
    assert SkeletonStore(own).data_hash == before and verify(str(own)) == []
    draw_split(str(own), .5, name='half')
    assert verify(str(own)) == []


def test_many_splits(tmp_path):
    with StoreWriter(tmp_path / 's', 'kinect20', shard_size=1) as writer:
        for i in range(5):
            writer.add(f's{i}', CLIPS[0], label=0)
        for j in range(70):
            writer.set_split(f'split{j}', [f's{(i + j) % 5}' for i in range(j % 4 + 1)])
        ids = {name: sorted(members) for name, members in writer.splits.items()}
    assert {name: sorted(members) for name, members in SkeletonStore(tmp_path / 's').splits.items()} == ids


@pytest.mark.parametrize('ids, message', [(['s0', 's9'], "names the unknown sample 's9'"), (['s0'] * 2, 'twice')])
def test_a_split_that_cannot_be_written(tmp_path, ids, message):
    with pytest.raises(UserError, match=message), StoreWriter(tmp_path / 's', 'kinect20', shard_size=1) as writer:
        writer.add('s0', CLIPS[0])
        writer.set_split('bad', ids)
    assert os.listdir(tmp_path) == []


# --- damage ----------------------------------------------------------------------------------------------------------

def flip(path, what, at=-1):
    content = bytearray((file := path / 'shards' / what).read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_a_changed_byte_is_found_in_its_shard(own, tmp_path):
    parts, good = SkeletonStore(own).shards, SkeletonStore(own).data_hash
    flip(own, '00001.keypoints.npy')
    with pytest.raises(UserError, match='shards/00001.keypoints.npy has changed since it was written: mmskelssl'):
        SkeletonStore(own).verify_hash()
    fault, note = verify(str(own))
    assert fault.what == 'shard 1: the frames have changed since they were written (another sha256)' and fault.fatal
    assert fault.samples == tuple(f's{i}' for i in parts[1]) and 'not examined' in note.what and not note.fatal
    repair(str(own), str(tmp_path / 'mended'))
    mended = SkeletonStore(tmp_path / 'mended')
    kept = [i for i in range(12) if i not in parts[1]]
    assert mended.ids == [f's{i}' for i in kept] and mended.data_hash != good and verify(mended.path) == []
    assert {entry['id'] for entry in mended.index['provenance']['skipped']} == set(fault.samples)
    assert mended.splits['test'] == [f's{i}' for i in kept if i % 3 == 0]
    np.testing.assert_array_equal(mended.keypoints(len(kept) - 1), CLIPS[kept[-1]])


@pytest.mark.parametrize('what', ['keypoints', 'ids', 'samples-0', 'extras-0'])
def test_a_missing_or_truncated_file(own, tmp_path, what):
    file, whole = own / 'shards' / f'00001.{what}.npy', SkeletonStore(own)
    os.truncate(file, file.stat().st_size - 4)
    with pytest.raises(UserError, match=rf'shard 1: {what[:-2] if "-" in what else what} has \d+ bytes instead of'):
        SkeletonStore(own)
    file.unlink()
    with pytest.raises(UserError, match=r'shard 1: \w+ is missing, or not a regular file'):
        SkeletonStore(own)
    assert 'shard 1' in verify(str(own))[0].what
    repair(str(own), str(tmp_path / 'mended'))
    assert len(SkeletonStore(tmp_path / 'mended')) == 12 - len(whole.shards[1])


def test_a_replaced_store_is_not_mixed(tmp_path):
    old = write(tmp_path / 's')
    write(tmp_path / 's', clips=[clip + 1 for clip in CLIPS], overwrite=True)
    with pytest.raises(UserError, match='shard 0: keypoints is missing. If the store was changed while it was in use'):
        old.keypoints(0)


@pytest.mark.parametrize('what', ['link', 'pipe', 'folder'])
def test_only_regular_files_of_the_folder_are_read(own, tmp_path, what):
    file = own / 'shards' / '00001.keypoints.npy'
    file.rename(tmp_path / 'elsewhere')
    if what == 'link':
        file.symlink_to(tmp_path / 'elsewhere')
    else:
        os.mkfifo(file) if what == 'pipe' else file.mkdir()
    with pytest.raises(UserError, match='shard 1: keypoints is missing, or not a regular file'):
        SkeletonStore(own)
    with pytest.raises(UserError, match='shard 1: keypoints cannot be read'):
        SkeletonStore(own, complete=False).keypoints(5)


def test_a_link_in_place_of_the_folder(own, tmp_path):
    (own / 'shards').rename(tmp_path / 'elsewhere')
    (own / 'shards').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(UserError, match='shards cannot be read'):
        SkeletonStore(own)
    (own / 'shards').unlink()
    with pytest.raises(UserError, match='keypoints.npy cannot be read'):
        SkeletonStore(own)


@pytest.mark.parametrize('change, message', [
    (lambda index: index.update(shards=[]), 'shards: a list of 0 is not a list of shards'),
    (lambda index: index['shards'][1].update(samples=10 ** 12), 'shard 1: its files are too small for its samples'),
    (lambda index: index['shards'][1].update(rows=0), 'shard 1: rows is 0'),
    (lambda index: index['shards'][1].update(rows=True), 'shard 1: rows is true'),
    (lambda index: index['shards'][1].update(revision='../x'), 'shard 1: revision is "../x"'),
    (lambda index: index['shards'][0]['files'].update({'../../x': [1, 'a' * 64]}), 'shard 0: its files'),
    (lambda index: index['shards'][0]['files'].pop('ids'), 'shard 0: its files'),
    (lambda index: index['shards'][0]['files'].update(ids=[1 << 70, 'a' * 64]), 'ids is not described by a size'),
    (lambda index: index['shards'][0]['files'].update(ids=[10, 'A' * 64]), 'ids is not described by a size'),
    (lambda index: index.update(splits=['a', 'a']), 'names one twice'),
    (lambda index: index.update(splits=['a\n']), 'is not a valid name'),
    (lambda index: index.update(storage='int8'), 'storage "int8"'),
    (lambda index: index.update(scores=True), 'shard 0: its files'),
    (lambda index: index.update(layout='ntu25'), r'keypoints.npy has shape \(\d+, 20, 3\), expected \(\d+, 25, 3\)'),
    (lambda index: index.update(channels=2), 'keypoints.npy has shape'),
    (lambda index: index.update(storage='float16'), 'keypoints.npy is not as described'),
    (lambda index: index['shards'][0].update(rows=7), r'expected \(7, 20, 3\)'),
    (lambda index: index['shards'][0].update(samples=2), 'samples.npy has shape'),
])
def test_an_index_that_lies(own, change, message):
    edit(own, change)
    with pytest.raises(UserError, match=message) as caught:
        SkeletonStore(own).keypoints(0)
    assert '\n' not in str(caught.value)
    assert verify(str(own))[0].fatal


def test_any_text_in_place_of_the_index(own):
    """What opens has the shards that it says; all else is refused in one line."""
    rng, text = np.random.default_rng(0), (own / 'index.json').read_bytes()
    opened = 0
    for _ in range(400):
        start, length = rng.integers(len(text)), rng.integers(12)
        put = [b'', b'0', b'-1', b'"', b'null', b'{}', b'[' * 99, b'1e999', rng.bytes(3)][rng.integers(9)]
        (own / 'index.json').write_bytes(text[:start] + put + text[start + length:])
        try:
            store = SkeletonStore(own)
            store.labels, store.ids, store.keypoints(0), store.splits, store.samples[0]  # noqa: B018
            opened += 1
        except UserError as error:
            assert '\n' not in str(error)
    assert 0 < opened < 200


def _numbers(change):
    def changed(own):
        file = own / 'shards' / '00001.samples-0.npy'
        numbers = np.load(file)
        change(numbers)
        np.save(file, numbers)
    return changed


@pytest.mark.parametrize('change, message', [
    (_numbers(lambda numbers: numbers.__setitem__((1, 0), -numbers[1, 0])), 'persons and frames'),
    (_numbers(lambda numbers: numbers.__setitem__((0, 0), 1 << 30)), 'persons and frames'),
    (_numbers(lambda numbers: numbers.__setitem__((1, 0), numbers[1, 0] + 1)), 'persons and frames'),
    (_numbers(lambda numbers: numbers.__setitem__((2, 0), -2)), 'label or subject'),
    (_numbers(lambda numbers: numbers.__setitem__((2, 0), 1 << 20)), 'label or subject'),
    (_numbers(lambda numbers: numbers.__setitem__((4, 0), 1 << 20)), 'extras do not add up'),
    (_numbers(lambda numbers: numbers.__setitem__((4, slice(0, 2)), [-1, 29])), 'extras do not add up'),
    (lambda own: np.save(own / 'shards' / '00001.samples-0.npy', np.zeros((6, 3), np.float32)), 'not as described'),
    (lambda own: np.save(own / 'shards' / '00001.samples-0.npy', np.zeros((40, 3), np.int32)), 'has shape'),
    (lambda own: np.save(own / 'shards' / '00001.ids.npy', np.array([{}], object)), 'not as described'),
    (lambda own: np.save(own / 'shards' / '00001.ids.npy', np.zeros(3, 'U4')), 'not as described'),
    (lambda own: np.save(own / 'shards' / '00001.ids.npy', np.array([b'a'])), 'ids.npy has shape'),
    (lambda own: flip(own, '00001.extras-0.npy', 141), 'extras of sample s4 are not JSON'),
    (lambda own: (own / 'shards' / '00001.keypoints.npy').write_bytes(b'\x93NUMPY\x01\x00\xff'), 'not as described'),
])
def test_files_that_contradict(own, change, message):
    """Their hash would tell, but the reader does not compute it."""
    change(own)
    store = SkeletonStore(own, complete=False)
    with pytest.raises(UserError, match=message):
        store.keypoints(4), store.samples[4]['camera'], store.ids  # noqa: B018
    assert any('shard 1' in fault.what for fault in verify(str(own)))
    np.testing.assert_array_equal(SkeletonStore(own, complete=False).keypoints(0), CLIPS[0])


def test_ids_are_names(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, 'parse_index', lambda *_: None)
    store = write(tmp_path / 's')
    ids = store.content.shards[0].ids.copy()
    for bad in (b'a\nb', b'\xff', b''):
        ids[0] = bad
        np.save(tmp_path / 's' / 'shards' / '00000.ids.npy', ids)
        for read in (lambda store: store.ids, lambda store: store.name(0)):
            with pytest.raises(UserError, match='is not a valid name'):
                read(SkeletonStore(tmp_path / 's', complete=False))


def test_a_mask_that_is_unknown(own):
    edit(own, lambda index: index.update(joint_masks={'x': [1] * 20}))
    with pytest.raises(UserError, match='sample s0: its mask is not among joint_masks'):
        SkeletonStore(own).joint_mask(0)


def test_it_is_pickled_by_its_path(own):
    import pickle
    again = pickle.loads(pickle.dumps(SkeletonStore(Path(own))))  # noqa: S301
    np.testing.assert_array_equal(again.keypoints(7), CLIPS[7])
