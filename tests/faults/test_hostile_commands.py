"""Stores, archives and tables that lead commands to write elsewhere, to take any memory, or to destroy a store."""
import io
import json
import os
import shutil
import socket
import stat
import zipfile

import numpy as np
import pytest
import torch
from hostile import save
from test_hostile_files import bounded

from mmskelssl.atomic import write_atomically
from mmskelssl.commands.export import export_weights
from mmskelssl.datasets import SkeletonDataset, SkeletonStore
from mmskelssl.datasets.cache import check_caches, locked
from mmskelssl.datasets.importers.amass import _Motions
from mmskelssl.datasets.importers.array_files import clips_in
from mmskelssl.datasets.importers.bandai import JOINTS, _read_npz
from mmskelssl.datasets.importers.h36m import _keypoints, _read
from mmskelssl.datasets.importers.labels import label_table
from mmskelssl.datasets.importers.markers import read_trc
from mmskelssl.datasets.importers.source import Source
from mmskelssl.datasets.store.convert import convert
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.relabel import relabel
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.split import draw_split
from mmskelssl.datasets.store.subset import subset
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.evaluation.scores import load_scores
from mmskelssl.folders import OwnFolder

ELSEWHERE = pytest.mark.fault('F54', 'a link as index.npz in a store that is changed; devices, pipes and sockets in '
                              'place of output files; a cache description that names files elsewhere')
CLASSES = pytest.mark.fault('F55', 'labels near 2^31, subjects of thousands of digits, entries with the names of '
                            'arguments; changes that would make an index invalid')
AT_ONCE = pytest.mark.fault('F56', 'processes that create the same lock at the same moment')
SMALL = pytest.mark.fault('F52', 'small .mat, .npz, table and JSON files that take gigabytes or minutes')


def changed(store, change) -> str:
    file = os.path.join(store, 'index.json')
    with open(file, encoding='utf-8') as stream:
        content = json.load(stream)
    change(content)
    with open(file, 'w', encoding='utf-8') as stream:
        json.dump(content, stream)
    return store


@ELSEWHERE
@pytest.mark.parametrize('kind', ['link', 'hard link'])
def test_a_change_does_not_write_through_a_link(own_store, tmp_path, lost, kind):
    victim, columns = tmp_path / 'victim', os.path.join(own_store, 'index.npz')
    victim.write_text('precious')
    os.remove(columns)
    (os.symlink if kind == 'link' else os.link)(victim, columns)
    draw_split(own_store, .3, name='new')
    assert victim.read_text() == 'precious' and not os.path.islink(columns)
    assert SkeletonStore(own_store).columns_are_sound() and len(SkeletonStore(own_store).split('new_test'))
    lost('nothing')


@ELSEWHERE
def test_a_device_is_not_replaced_by_a_file(tmp_path, lost, record_property):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'folder').mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / 'socket'))
    if os.geteuid() == 0:
        os.mknod(tmp_path / 'device', stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null
    for name in os.listdir(tmp_path):
        before = os.stat(tmp_path / name)
        with pytest.raises(OSError, match='not a regular file'):
            write_atomically(str(tmp_path / name), b'data')
        assert os.stat(tmp_path / name).st_ino == before.st_ino
    path = save(tmp_path / 'a.pth')
    with pytest.raises(UserError, match='pipe cannot be written: it is not a regular file'):
        export_weights(path, str(tmp_path / 'pipe'))
    record_property('tried', 4)
    lost('nothing')


@ELSEWHERE
@pytest.mark.parametrize('name', ['/proc/self/maps', '../keypoints.npy', '..'])
def test_a_cache_names_no_file_elsewhere(own_store, tmp_path, lost, name):
    """The size of a file in /proc says nothing about its end."""
    cache = os.path.join(own_store, 'cache')
    os.mkdir(cache)
    with open(os.path.join(cache, 'k.json'), 'w', encoding='utf-8') as file:
        json.dump(dict(data_hash='0123', files={name: dict(bytes=1, sha256='')}), file)
    before = os.listdir(own_store)
    assert check_caches(own_store, '0123') == [os.path.join(cache, 'k.npy')]
    assert os.listdir(own_store) == before and os.listdir(cache) == ['k.lock']
    with OwnFolder(cache) as folder:
        for use in (folder.open, folder.create, folder.remove, lambda name: folder.rename('k.lock', name)):
            with pytest.raises(OSError, match='not the name of a file'):
                use(name)
    lost('nothing')


@AT_ONCE
def test_a_lock_that_appears_meanwhile(tmp_path, monkeypatch, lost):
    """Two ranks that need a new cache create its lock."""
    real = os.open

    def late(path, flags, *args, **options):
        if path == 'lock' and flags & os.O_CREAT:  # the other process is faster
            os.close(real(tmp_path / 'cache' / 'lock', os.O_RDWR | os.O_CREAT))
        return real(path, flags, *args, **options)
    with OwnFolder(str(tmp_path / 'cache')) as folder:
        monkeypatch.setattr(os, 'open', late)
        with locked(folder, 'lock'):
            assert os.listdir(tmp_path / 'cache') == ['lock']
    lost('nothing')


@CLASSES
@pytest.mark.parametrize('use', [
    lambda store, out: merge([store, shutil.copytree(store, out + '2')], out),
    lambda store, _: relabel(store, rename=['0=a']), lambda store, out: subset(store, out, classes=['1']),
    lambda store, _: draw_split(store, .2, name='a'), lambda store, _: SkeletonDataset(store, 'train', [])],
    ids=['merge', 'relabel', 'subset', 'split', 'data set'])
def test_labels_do_not_size_arrays(own_store, tmp_path, lost, use):
    """Without names, the classes were numbered up to the highest label: 150 GB."""
    changed(own_store, lambda index: (index.update(classes=[]), index['samples'][3].update(label=(1 << 31) - 1)))
    with bounded(300), pytest.raises(UserError, match='label 2147483647 is not an integer from 0 to 65535'):
        use(own_store, str(tmp_path / 'out'))
    lost('nothing')


@CLASSES
def test_false_columns_do_not_size_arrays(own_store, lost):
    """index.npz may contain labels that its index.json does not."""
    changed(own_store, lambda index: index.update(classes=[]))
    draw_split(own_store, .2, name='a')  # writes the columns
    columns = os.path.join(own_store, 'index.npz')
    with np.load(columns) as arrays:
        content = dict(arrays)
    content['label'][3] = (1 << 31) - 1
    np.savez(columns, **content)
    assert SkeletonStore(own_store).labels.max() == 3
    lost('nothing')


@CLASSES
@pytest.mark.parametrize('key', ['name', 'keypoints', 'scores', 'self'])
def test_entries_with_the_names_of_arguments(own_store, tmp_path, lost, key, record_property):
    changed(own_store, lambda index: index['samples'][3].update({key: 1}))
    other, out = shutil.copytree(own_store, tmp_path / 'other'), str(tmp_path / 'out')
    for use in (lambda: convert(own_store, out, 'kinect20'), lambda: subset(own_store, out, count=2),
                lambda: merge([own_store, str(other)], out), lambda: repair(own_store, out)):
        with pytest.raises(UserError, match=f"the key '{key}' is reserved"):
            use()
    record_property('tried', 4)
    lost('nothing')


@CLASSES
@pytest.mark.parametrize('change', [
    'name,label\nclip000,a\x1b[2J\n', 'name,split\nclip000,a\x07\n', 'name,label\nclip000,\u202e\x85b\n',
    'name,subject\nclip000,' + '9' * 5000 + '\n', 'name,subject\nclip000,9999999999\n', ['class 0=a\x1b[2J']])
def test_a_change_leaves_a_valid_store(own_store, tmp_path, lost, change):
    table = tmp_path / 'table.csv'
    before = open(os.path.join(own_store, 'index.json'), 'rb').read()
    with pytest.raises(UserError, match='is left unchanged|not a number of at most 10 digits') as caught:
        if isinstance(change, str):
            table.write_text(change, encoding='utf-8')
            relabel(own_store, str(table), overwrite=True)
        else:
            relabel(own_store, rename=change)
    assert str(caught.value).isprintable()
    assert open(os.path.join(own_store, 'index.json'), 'rb').read() == before
    lost('nothing')


@CLASSES
def test_subjects_of_any_length(tmp_path, lost):
    (tmp_path / 'labels.csv').write_text('name,subject\na,' + '1' * 10_000 + '\n')
    with pytest.raises(UserError, match='not a number of at most 10 digits'):
        label_table(Source(str(tmp_path)), ['a.npy'], 'auto')
    lost('nothing')


def npy(descr: str, shape: tuple) -> bytes:
    """The header of an npy file."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, dict(descr=descr, fortran_order=False, shape=shape))
    return out.getvalue()


def packed(**entries) -> bytes:
    """A compressed npz. An entry is an array, or the (type, shape) of zeros, or bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, entry in entries.items():
            with archive.open(f'{name}.npy', 'w') as file:
                if isinstance(entry, np.ndarray):
                    np.save(file, entry)
                elif isinstance(entry, bytes):
                    file.write(entry)
                else:
                    file.write(npy(*entry) + bytes(int(np.prod(entry[1])) * np.dtype(entry[0]).itemsize))
    return out.getvalue()


CLIPS = np.ones((2, 1, 4, 25, 3), np.float32)


@SMALL
@pytest.mark.parametrize('entries', [
    dict(keypoints=CLIPS, labels=('|i1', (30_000_000,))), dict(keypoints=CLIPS, subjects=('|i1', (30_000_000,))),
    dict(keypoints=CLIPS, ids=('<U1', (10_000_000,))), dict(keypoints=('|i1', (3_000_000, 1, 1, 1, 2))),
    dict(x_train=('|i1', (3_000_000, 1, 3)), y_train=('|i1', (3_000_000,)))])
def test_arrays_that_become_lists(lost, entries):
    """A list takes eight bytes and more for each byte of an array, and an array of clips 200 for each clip."""
    data, joints = packed(**entries), 25 if entries.get('keypoints') is CLIPS else 1
    with bounded(150, 5), pytest.raises(ValueError, match='of shape|at most 2097152 are read'):
        clips_in('a.npz', data, joints)
    lost('nothing')


@SMALL
@pytest.mark.parametrize('entries', [
    dict(ids=np.full(3_000_000, 'ab')), dict(classes=np.full(3_000_000, 'ab')), dict(row=('<U2000000', ()))])
def test_scores_that_become_lists(tmp_path, lost, entries):
    sound = dict(ids=np.array(['a', 'b']), scores=np.ones((2, 2), np.float32), labels=np.arange(2))
    (tmp_path / 'a.npz').write_bytes(packed(**{**sound, **entries}))
    refusal = 'do not match|3000000 classes for 2 columns|row is not a text'
    with bounded(100, 5), pytest.raises(UserError, match=refusal):
        load_scores(str(tmp_path / 'a.npz'))
    lost('nothing')


@SMALL
def test_a_pickle_in_an_archive(lost):
    """A compressed pickle of one-byte steps: 30 KB were 2.5 GB."""
    data = packed(positions_3d=npy('|O', ()) + b'\x80\x02(' + b'}' * 3_000_000 + b't.')
    with bounded(400, 30), pytest.raises(ValueError, match='more than 1,000,000 steps'):
        _read(data)
    lost('nothing')


@SMALL
def test_motions_of_any_length(lost, record_property, monkeypatch):
    frames = 1_000_000
    monkeypatch.setattr('mmskelssl.datasets.importers.amass._model', lambda _: ())
    amass = packed(poses=('|i1', (frames, 66)), trans=('|i1', (frames, 3)))
    bandai = packed(step_mm=('|i1', (frames, 21, 3)), frames=np.array([frames]), ids=np.array(['a_b_1']),
                    joints=np.array(JOINTS), fps=np.array(15.))
    for read in (lambda: _Motions('', 30., None)('a.npz', amass), lambda: _read_npz(bandai),
                 lambda: _keypoints(np.zeros((1, 17, 3), np.int8).repeat(100_001, 0), False)):
        with bounded(200, 10), pytest.raises(ValueError, match='at most 256 and 100000 are read'):
            read()
    record_property('tried', 3)
    lost('nothing')


@SMALL
def test_lines_that_leave_out_cells(lost, record_property):
    names = '\t\t\t'.join(f'm{i}' for i in range(20_000))
    text = f'PathFileType\t4\nUnits\tDataRate\nmm\t30\nFrame#\tTime\t{names}\n\n' + '1\t0\n' * 5000
    with bounded(600, 20), pytest.raises(ValueError, match='20000 markers in 167 and more lines'):
        read_trc(text)
    rows = [f'0,j{i},1,1' for i in range(1000)] + [f'{i},j0,1,1' for i in range(1, 20_000)]
    with bounded(300, 10), pytest.raises(ValueError, match='1000 joints and 20000 frames, but only 20999 rows'):
        clips_in('a.csv', '\n'.join(['frame,joint,x,y', *rows]).encode(), 1000)
    record_property('tried', 2)
    lost('nothing')


@pytest.mark.fault('F50', 'checkpoint zips that Python and torch read differently')
def test_an_end_record_of_several_disks(tmp_path, lost):
    """Python's ``is_zipfile`` raises an error for it. Found by the fuzzer."""
    save(tmp_path / 'a.pth')
    data = bytearray((tmp_path / 'a.pth').read_bytes())
    end = data.rindex(b'PK\x06\x07')
    data[end + 16:end + 20] = (9).to_bytes(4, 'little')
    (tmp_path / 'a.pth').write_bytes(bytes(data))
    with pytest.raises(UserError, match='a.pth: '):
        load_checkpoint(tmp_path / 'a.pth')
    assert not Source(str(tmp_path / 'a.pth')).is_zip
    lost('nothing')


@pytest.mark.fault('F33', 'splits, classes, methods and scores whose names are paths, markup, control codes or '
                   'formulas')
def test_a_tensor_called_metadata(tmp_path, lost):
    torch.save(dict(state_dict={'backbone.__metadata__': torch.ones(2)}, meta={}), tmp_path / 'a.pth')
    with pytest.raises(UserError, match="called '__metadata__', which safetensors reserves"):
        export_weights(str(tmp_path / 'a.pth'), str(tmp_path / 'a.safetensors'))
    lost('nothing')
