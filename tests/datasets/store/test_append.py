"""Adding clips to a store: new ones become shards, known ones are recognised, and a killed import changes nothing."""
import json
import os

import numpy as np
import pytest

from mmskelssl.cli import main
from mmskelssl.datasets.store import append as module
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.verify import verify
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLIPS = {f's{i}': np.random.default_rng(i).normal(size=(1, 6 + i, 20, 3)).astype(np.float32) for i in range(8)}


def write(path, names, label='ab', split='train', change=lambda name, clip: clip, **options):
    """Import clips. Classes are numbered from 0 in each import; the n-th clip of all has class label[n % 2]."""
    with StoreWriter(path, 'kinect20', classes=sorted(set(label)), source='here', **options) as writer:
        for name in names:
            own = label[int(name[1:]) % len(label)]
            writer.add(name, change(name, CLIPS[name]), label=sorted(set(label)).index(own), camera=int(name[1:]))
        writer.set_split(split, names)
    return SkeletonStore(path)


FIRST, REST = list(CLIPS)[:5], list(CLIPS)[5:]


@pytest.mark.parametrize('options', [{}, dict(shard_size=1), dict(storage='int16'), dict(storage='float16')])
def test_new_clips_become_a_shard(tmp_path, capsys, options):
    first = write(tmp_path / 's', FIRST, **options)
    store = write(tmp_path / 's', list(CLIPS), append=True)
    assert '3 clips added in 1 shards; 5 were there already' in capsys.readouterr().out
    assert store.ids == list(CLIPS) and store.data_hash != first.data_hash and verify(store.path) == []
    assert [len(part) for part in store.shards] == [5, 3] and store.storage == first.storage
    assert store.labels.tolist() == [0, 1] * 4 and store.samples[6]['camera'] == 6
    assert store.split('train').tolist() == list(range(8)) and store.classes == ['a', 'b']
    most = dict(int16=5.01e-4, float16=2e-3).get(options.get('storage'), 0)
    assert all(np.abs(store.keypoints(i) - clip).max() <= most for i, clip in enumerate(CLIPS.values()))
    about = store.index['provenance']
    assert about['appended'][0] | dict(version=0) == dict(source='here', options={}, added=3, known=5, version=0)
    assert sorted(os.listdir(tmp_path / 's')) == ['index.json', 'shards']
    first.keypoints(2)  # the frames of a store that is in use stay


def test_nothing_new_changes_nothing(tmp_path, capsys):
    before = write(tmp_path / 's', FIRST).data_hash
    assert write(tmp_path / 's', FIRST[1:3], append=True).data_hash == before
    assert 'nothing new, it has all 2 clips already' in capsys.readouterr().out
    assert os.listdir(tmp_path) == ['s']


def test_another_clip_of_the_same_id_is_an_error(tmp_path):
    before = write(tmp_path / 's', FIRST).data_hash
    for change in (lambda name, clip: clip + (name == 's3'), lambda name, clip: clip[:, :4] if name == 's3' else clip):
        with pytest.raises(UserError, match='sample s3: .*s has another clip of this id'):
            write(tmp_path / 's', list(CLIPS), append=True, change=change)
    with pytest.raises(UserError, match='sample s3: .*s has another clip'), \
            StoreWriter(tmp_path / 's', 'kinect20', classes=['a', 'b'], append=True) as writer:
        try:
            writer.add('s3', CLIPS['s4'])
        except UserError as error:  # importers skip clips that the writer refuses
            writer.skip('s3', str(error))
    assert SkeletonStore(tmp_path / 's').data_hash == before and os.listdir(tmp_path) == ['s']


def test_classes_are_merged_by_name(tmp_path, capsys):
    write(tmp_path / 's', FIRST, label='bc')
    store = write(tmp_path / 's', list(CLIPS), label='ac', append=True, split='other')
    assert store.classes == ['b', 'c', 'a'] and store.labels.tolist() == [0, 1, 0, 1, 0, 1, 2, 1]
    assert store.split('other').tolist() == [5, 6, 7] and store.split('train').tolist() == [0, 1, 2, 3, 4]
    told = capsys.readouterr().out
    assert 'note: 3 clips of the store have another label in the source' in told  # those of b, which are a there
    assert 'note: 5 clips of the store have another split in the source' in told
    with pytest.raises(UserError, match='the classes of one have names, those of the other only numbers'), \
            StoreWriter(tmp_path / 's', 'kinect20', append=True) as writer:
        writer.add('new', CLIPS['s0'], label=0)
    assert 'note' not in capsys.readouterr().out and verify(store.path) == []


@pytest.mark.parametrize('options, message', [
    (dict(layout='ntu25'), 'its layout: kinect20, that of the source: ntu25'),
    (dict(channels=2), 'its coordinates: 3, that of the source: 2'), (dict(units='mm'), 'its units: m, .*: mm'),
    (dict(fps=30), 'its frame rate: None, that of the source: 30'), (dict(scores=True), 'they have scores'),
    (dict(overwrite=True), 'leave out --overwrite'), (dict(storage='int16'), 'leave out --overwrite and --storage')])
def test_clips_of_another_kind_are_refused(tmp_path, options, message):
    write(tmp_path / 's', FIRST)
    with pytest.raises(UserError, match=message):
        StoreWriter(tmp_path / 's', **dict(dict(layout='kinect20'), **options), append=True)
    with pytest.raises(UserError, match='is not a store, so nothing can be added to it: leave out --append'):
        StoreWriter(tmp_path / 'none', 'kinect20', append=True)


def test_a_killed_import_leaves_the_store(tmp_path, monkeypatch):
    for options in ({}, dict(shard_size=1)):
        path = tmp_path / f's{len(options)}'
        before = write(path, FIRST, **options).data_hash
        for stop in ('write_index', 'write_shards'):
            monkeypatch.setattr(module, stop, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                write(path, list(CLIPS), append=True)
            monkeypatch.undo()
            assert SkeletonStore(path).data_hash == before and verify(str(path)) == []
        monkeypatch.setattr(module, 'remove_single', lambda *_: 1 / 0)  # after the new index, before the old files go
        with pytest.raises(ZeroDivisionError):
            write(path, list(CLIPS)[:6], append=True)
        monkeypatch.undo()
        assert len(SkeletonStore(path)) == 6 and verify(str(path)) == []
        assert len(write(path, list(CLIPS), append=True)) == 8 and verify(str(path)) == []
        assert sorted(os.listdir(path)) == ['index.json', 'shards']


def test_leftover_links_are_not_written_through(tmp_path):
    write(tmp_path / 's', FIRST, shard_size=1)
    (tmp_path / 'precious').write_text('years of work')
    for what in ('keypoints', 'ids', 'samples-0'):
        (tmp_path / 's' / 'shards' / f'00001.{what}.npy').symlink_to(tmp_path / 'precious')
    assert len(write(tmp_path / 's', list(CLIPS), append=True)) == 8
    assert (tmp_path / 'precious').read_text() == 'years of work'


def test_a_store_that_changes_meanwhile(tmp_path):
    write(tmp_path / 's', FIRST)
    with pytest.raises(UserError, match='was changed during this import, so nothing was added'), \
            StoreWriter(tmp_path / 's', 'kinect20', classes=['a', 'b'], append=True) as writer:
        writer.add('s7', CLIPS['s7'])
        write(tmp_path / 's', FIRST[:3], overwrite=True)
    assert len(SkeletonStore(tmp_path / 's')) == 3


def test_an_invalid_store_is_not_added_to(tmp_path):
    write(tmp_path / 's', FIRST)
    file = tmp_path / 's' / 'index.json'
    file.write_text(file.read_text().replace('"train": ["s0"', '"train": ["ghost"'))
    with pytest.raises(UserError, match="the split 'train' names the unknown sample 'ghost': repair the store first"):
        write(tmp_path / 's', list(CLIPS), append=True)


def run(*argv):
    try:
        main([*map(str, argv)])
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_the_command_adds_files_and_what_repair_left_out(tmp_path, capsys):
    folder = tmp_path / 'clips'
    folder.mkdir()
    for name in FIRST:
        np.save(folder / f'{name}.npy', CLIPS[name])
    command = 'prepare', 'arrays', folder, '--layout', 'kinect20', '--labels', 'none', '--out'
    assert run(*command, tmp_path / 's', '--shard-size', 1, '--storage', 'int16') == 0
    for name in REST:
        np.save(folder / f'{name}.npy', CLIPS[name])
    capsys.readouterr()
    assert run(*command, tmp_path / 's', '--append') == 0
    assert '3 clips added in 1 shards; 5 were there already' in capsys.readouterr().out
    store = SkeletonStore(tmp_path / 's')
    assert len(store.split('train')) + len(store.split('test') if 'test' in store.splits else ()) == 8
    os.unlink(tmp_path / 's' / 'shards' / '00000.keypoints.npy')
    repair(store.path, str(tmp_path / 'mended'))
    assert SkeletonStore(tmp_path / 'mended').ids == REST
    assert run(*command, tmp_path / 'mended', '--append') == 0
    assert sorted(SkeletonStore(tmp_path / 'mended').ids) == list(CLIPS)
    np.save(folder / 's2.npy', CLIPS['s2'] + 1)
    assert run(*command, tmp_path / 's', '--append') == 2  # its shard is missing


def test_an_interrupted_append_goes_on(tmp_path, monkeypatch):
    write(tmp_path / 's', FIRST)

    def start(stop):
        with StoreWriter(tmp_path / 's', 'kinect20', classes=['a', 'b'], append=True, resume=True) as writer:
            left = writer.unfinished(list(CLIPS), lambda *_: False)
            for name in left:
                if name == stop:
                    raise KeyboardInterrupt
                writer.add(name, CLIPS[name], label=int(name[1:]) % 2)
                writer.finish(name)
            writer.set_split('train', list(CLIPS))
        return left
    with pytest.raises(KeyboardInterrupt):
        start('s7')
    assert len(SkeletonStore(tmp_path / 's')) == 5
    assert start(None) == ['s7']
    store = SkeletonStore(tmp_path / 's')
    assert store.ids == list(CLIPS) and verify(store.path) == [] and os.listdir(tmp_path) == ['s']
    assert all(np.array_equal(store.keypoints(i), clip) for i, clip in enumerate(CLIPS.values()))
    assert json.loads((tmp_path / 's' / 'index.json').read_text())['provenance']['appended'][0]['known'] == 5
