"""Hostile input for every importer: samples are skipped with a reason or refused in one line, never executed."""
import io
import json
import os
import pickle
import shutil
import struct
import tempfile
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS, source
from mmskelssl.datasets.importers.bandai import JOINTS
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

OPTIONS = dict(pyskl=dict(layout='kinect20'), arrays=dict(layout='kinect20'))
QUICK = settings(deadline=None, max_examples=20, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def numbers(*shape):
    return np.round(np.random.default_rng(0).normal(size=shape), 3)


def rows(array):
    return '\n'.join(' '.join(map(str, row)) for row in array.tolist()) + '\n'


def dumped(array, **arrays):
    file = io.BytesIO()
    np.savez(file, **arrays) if arrays else np.save(file, array)
    return file.getvalue()


def body_model():
    return dumped(None, v_template=numbers(22, 3), shapedirs=numbers(22, 3, 4), J_regressor=np.eye(22),
                  kintree_table=np.array([[max(parent, 0) for parent in get_layout('smpl22').parents], range(22)]))


def markers_layout():
    return json.dumps(dict(name='abc', joints=['A', 'B', 'C'], parents=[-1, 0, 0], hip=0, shoulders=[1, 2])).encode()


# Importers that need a file apart from their data: its name, the option that takes it, and its content.
BESIDE = dict(amass=('model.npz', 'model', body_model), markers=('abc.json', 'layout', markers_layout))


@cache
def sound(importer):
    """Small valid files for an importer (name -> bytes), and the one to damage."""
    if importer in ('ntu60', 'ntu120'):
        bodies = ''.join('1\n7 0 1 1 1 1 0 0 0 2\n25\n' + rows(np.hstack([body, np.zeros((25, 9))]))
                         for body in numbers(3, 25, 3))
        files, target = {f'S001C001P00{i}R001A001.skeleton': '3\n' + bodies for i in (1, 2)}, 'S001C001P001R001A001'
    elif importer == 'pkummd':
        files = {f'{folder}/{name}.txt': content for name in ('0002-L', '0003-M') for folder, content in (
            ('Skeleton', rows(numbers(12, 150))), ('Label', '1,0,5,2\n2,5,12,2\n'))}
        files['Split/cross-subject.txt'] = 'Training videos:\n0002-L\nValidation videos:\n0003-M\n'
        target = 'Skeleton/0002-L'
    elif importer == 'nwucla':
        files = {f'a01_s0{i}_e00_v0{i}.json': json.dumps(dict(skeletons=numbers(3, 20, 3).tolist(), label=i))
                 for i in (1, 3)}
        target = 'a01_s01'
    elif importer == 'msr':
        files = {f'a01_s0{i}_e01_skeleton3D.txt': rows(numbers(40, 4)) for i in (1, 2)}
        target = 'a01_s01'
    elif importer == 'sbu':
        text = '\n'.join(f'{i},' + ','.join(map(str, row)) for i, row in enumerate(numbers(3, 90).tolist()))
        files, target = {f's01s0{i}/01/001/skeleton_pos.txt': text for i in (2, 3)}, 's01s02'
    elif importer == 'arrays':
        files = {'a.npy': dumped(numbers(3, 20, 3)), 'b.csv': rows(numbers(3, 60)), 'c.npz': dumped(
            None, keypoints=numbers(2, 3, 20, 3), labels=[0, 1]), 'd.json': json.dumps(numbers(3, 20, 3).tolist())}
        target = ''
    elif importer == 'official_npy':
        files = {'train_position.npy': dumped(numbers(2, 3, 4, 25, 2)),
                 'train_label.pkl': pickle.dumps((['S001C001P001R001A001', 'b'], [0, 1]))}
        target = ''
    elif importer == 'florence':
        rows_of = np.hstack([np.repeat([[1, 1, 1], [2, 2, 3]], 3, axis=0), numbers(6, 45) * 1000]).tolist()
        files = {'Florence_dataset_WorldCoordinates.txt': '\n'.join(
            ' '.join([*map(str, map(int, row[:3])), *map(str, row[3:])]) for row in rows_of)}
        target = ''
    elif importer == 'dhg':
        files = {f'gesture_{i}/finger_1/subject_{i}/essai_1/skeleton_world.txt': rows(numbers(4, 66)) for i in (1, 2)}
        files['informations_troncage_sequences.txt'] = '1 1 1 1 0 2\n2 1 2 1 1 3\n'
        target = 'gesture_1'
    elif importer == 'uavhuman':
        bodies = ''.join('1\n7 0 1 1 1 1 0 0 0 2\n17\n' + rows(np.hstack([body, np.zeros((17, 9))]))
                         for body in numbers(3, 17, 3))
        files = {f'P00{i}S00G10B10H10UC022000LC021000A000R0_08241716.txt': '3\n' + bodies for i in (1, 2)}
        target = 'P001'
    elif importer == 'h36m':
        files = {'data_3d_h36m.npz': dumped(None, positions_3d=np.array(
            {f'S{i}': {'Walking 1': numbers(4, 32, 3)} for i in (1, 9)}, object))}
        target = ''
    elif importer == 'bandai':
        files = {'b.npz': dumped(None, step_mm=(numbers(8, 21, 3) * 100).astype(np.int16), frames=np.array([4, 4]),
                                 ids=np.array(['run_active_001', 'walk_normal_001']), joints=np.array(JOINTS), fps=15)}
        target = ''
    elif importer == 'amass':
        files = {f'{name}.npz': dumped(None, poses=numbers(4, 156), trans=numbers(4, 3), betas=numbers(16),
                                       mocap_framerate=60.) for name in 'ab'}
        target = 'a.npz'
    elif importer == 'markers':
        head = ('PathFileType\t4\t(X/Y/Z)\ta.trc\nDataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\n'
                '60\t60\t3\t3\tmm\nFrame#\tTime\tA\t\t\tB\t\t\tC\n\t\tX1\tY1\tZ1\tX2\tY2\tZ2\tX3\tY3\tZ3\n')
        files = {f'{name}.trc': head + '\n'.join('\t'.join(map(str, [i + 1, i / 60, *row])) for i, row in enumerate(
            (100 * numbers(3, 9)).tolist())) for name in 'ab'}
        target = 'a.trc'
    else:
        annotations = [dict(frame_dir=name, label=0, keypoint=numbers(1, 3, 20, 3)) for name in 'ab']
        files = {'p.pkl': pickle.dumps(dict(split=dict(train=['a'], test=['b']), annotations=annotations))}
        target = ''
    return {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}, target


def lay_out(folder, files):
    for name, content in files.items():
        file = Path(folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def attempt(importer, path, folder):
    """Return the store or the refusal message. Any other exception fails the test."""
    out = Path(folder) / 'out' / 'store'
    path = path / 'p.pkl' if importer == 'pyskl' and Path(path).is_dir() else path
    options = OPTIONS.get(importer, {})
    if importer in BESIDE:
        (Path(folder) / 'beside').mkdir(exist_ok=True)
        name, option, content = BESIDE[importer]
        options = {option: str(Path(folder) / 'beside' / name)}
        Path(options[option]).write_bytes(content())
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            with StoreWriter(out) as writer:
                IMPORTERS[importer](str(path), writer, **options)
        except UserError as error:
            assert not out.exists() and os.listdir(out.parent) == [] and '\n' not in str(error) and str(error)
            return str(error)
    assert os.listdir(out.parent) == ['store']
    assert not [fault for fault in verify(str(out)) if fault.fatal and 'no body' not in fault.what
                and "are also in 'train'" not in fault.what]
    store = SkeletonStore(out)
    assert all(entry['reason'] and '\n' not in entry['reason'] for entry in store.index['provenance']['skipped'])
    return store


@pytest.mark.parametrize('importer', [
    'ntu60', 'ntu120', 'pkummd', 'nwucla', 'msr', 'sbu', 'arrays', 'official_npy', 'pyskl', 'florence', 'dhg',
    'uavhuman', 'h36m', 'bandai', *BESIDE])
def test_the_sound_files_are_sound(tmp_path, importer):
    """The undamaged files can be imported, from paths with spaces and accents."""
    folder = tmp_path / 'Bewegungen für Zoë 動作'
    lay_out(folder, sound(importer)[0])
    store = attempt(importer, folder, tmp_path)
    assert len(store) >= 2 and not store.index['provenance']['skipped']


def damage(draw, content):
    """Damage a file in one of several ways."""
    kind = draw(st.sampled_from(['cut', 'empty', 'binary', 'crlf', 'flip', 'number', 'lines', 'insert', 'repeat']))
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == 'cut':
        return content[:at]
    if kind == 'empty':
        return b''
    if kind == 'binary':
        return draw(st.binary(max_size=300))
    if kind == 'crlf':
        return content.replace(b'\n', b'\r\n')
    if kind == 'flip':
        return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + 4:]
    if kind == 'number':
        value = draw(st.sampled_from([b'nan', b'inf', b'-1', b'0', b'1e400', b'9' * 30, b'9' * 5000, b'x', b'', b'1_0',
                                      '٣'.encode(), b'null', b'1e39', b'-5e38']))
        words = content.split(b' ')
        words[at % len(words)] = value
        return b' '.join(words)
    lines = content.split(b'\n')
    at %= len(lines)
    if kind == 'lines':
        return b'\n'.join(lines[:at] + lines[at + 1:])
    if kind == 'insert':
        return b'\n'.join(lines[:at] + [draw(st.sampled_from([b'stray text', b'', b'99999999', b'-3', b'\xff\x00']))]
                          + lines[at:])
    return content + content


@pytest.mark.parametrize('importer', list(OPTIONS) + [
    'ntu60', 'pkummd', 'nwucla', 'msr', 'sbu', 'official_npy', 'florence', 'dhg', 'uavhuman', 'h36m', 'bandai',
    *BESIDE])
@QUICK
@given(st.data())
def test_damaged_files(importer, data):
    files, target = sound(importer)
    name = data.draw(st.sampled_from(sorted(name for name in files if target in name or 'Label' in name
                                            or 'Split' in name)))
    folder = Path(tempfile.mkdtemp())
    try:
        lay_out(folder / 'raw', dict(files, **{name: damage(data.draw, files[name])}))
        store = attempt(importer, folder / 'raw', folder)
        several = importer not in ('pyskl', 'official_npy', 'florence', 'h36m', 'bandai') and 'Split' not in name
        assert not several or not isinstance(store, str) and len(store) >= 1  # others are imported
        if several and importer in ('ntu60', 'nwucla', 'msr', 'sbu', 'dhg', 'uavhuman', 'amass', 'markers'):
            assert len(store) + len(store.index['provenance']['skipped']) == 2  # and is reported
    finally:
        shutil.rmtree(folder)


FOLDERS = [name for name in ('ntu60', 'pkummd', 'nwucla', 'msr', 'sbu', 'arrays') if name in IMPORTERS]


@pytest.mark.parametrize('importer', FOLDERS)
def test_links_out_of_the_folder_and_fifos(tmp_path, importer):
    files, target = sound(importer)
    lay_out(tmp_path / 'raw', files)
    name = next(name for name in files if target in name)
    other = next(other for other in files if other != name and not other.startswith(('Label', 'Split')))
    (tmp_path / 'raw' / name).rename(tmp_path / 'secret')
    (tmp_path / 'raw' / name).symlink_to(tmp_path / 'secret')
    linked = attempt(importer, tmp_path / 'raw', tmp_path / '1')
    reasons = [entry['reason'] for entry in linked.index['provenance']['skipped']]
    assert 'it is a link that leads out of the folder' in reasons
    (tmp_path / 'raw' / other).unlink()
    os.mkfifo(tmp_path / 'raw' / other)
    blocked = attempt(importer, tmp_path / 'raw', tmp_path / '2')
    reasons = blocked if isinstance(blocked, str) else str(blocked.index['provenance']['skipped'])
    assert 'not a regular file' in reasons or 'link that leads out' in reasons


def test_single_files_that_are_fifos(tmp_path):
    os.mkfifo(tmp_path / 'p.pkl')
    assert 'not a regular file' in attempt('pyskl', tmp_path / 'p.pkl', tmp_path)
    os.mkfifo(tmp_path / 'x.npz')
    assert 'not a regular file' in attempt('arrays', tmp_path / 'x.npz', tmp_path)


@pytest.mark.parametrize('importer', FOLDERS)
def test_archives_that_are_hostile(tmp_path, importer, monkeypatch):
    files, target = sound(importer)
    name = next(name for name in files if target in name)
    base = name.split('/')[-1]
    path = tmp_path / 'raw.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for other, content in files.items():
            archive.writestr(other, content)
        prefix = '/'.join(name.split('/')[:-1])
        for slip in (f'../../{name}', f'/{name}', f'{prefix + "/" if prefix else ""}../x/{name}'):
            archive.writestr(slip, files[name])
    store = attempt(importer, path, tmp_path / '1')
    slips = [entry for entry in store.index['provenance']['skipped'] if entry['reason'] == 'its name leads out of the '
             'archive']
    assert len(slips) == 3 and not (tmp_path.parent / base).exists()
    content = path.read_bytes()
    for end in (len(content) // 2, len(content) - 30, 10):
        path.write_bytes(content[:end])
        attempt(importer, path, tmp_path / str(end))
    monkeypatch.setattr(source, 'MAX_BYTES', 1000)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for other, content in files.items():
            archive.writestr(other, content)
    assert 'it would unpack to' in str(attempt(importer, path, tmp_path / 'bomb'))


def lying_zip(path, name, declared):
    """An archive whose directory states a wrong size."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b'\0' * (64 << 20))
    data = bytearray(path.read_bytes())
    position = data.index(b'PK\x01\x02')
    data[position + 24:position + 28] = struct.pack('<I', declared)
    path.write_bytes(data)


@pytest.mark.parametrize('declared', [10, (1 << 32) - 2])
def test_a_bomb_is_not_unpacked(tmp_path, declared):
    import tracemalloc
    lying_zip(tmp_path / 'bomb.zip', 'S001C001P001R001A001.skeleton', declared)
    tracemalloc.start()
    message = attempt('ntu60', tmp_path / 'bomb.zip', tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 'no sample could be imported' in message and peak < 8 << 20


def test_arrays_that_claim_to_be_huge(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, dict(descr='<f4', fortran_order=False, shape=(10 ** 13, 20, 3)))
    folder = tmp_path / 'raw'
    lay_out(folder, {'a.npy': header.getvalue() + bytes(100), 'good.npy': dumped(numbers(3, 20, 3))})
    with zipfile.ZipFile(folder / 'b.npz', 'w') as archive:
        archive.writestr('x.npy', header.getvalue())
    with zipfile.ZipFile(folder / 'c.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('x.npy', b'\0' * (1 << 20))
    data = bytearray((folder / 'c.npz').read_bytes())
    position = data.index(b'PK\x01\x02')
    data[position + 24:position + 28] = struct.pack('<I', (1 << 32) - 2)
    (folder / 'c.npz').write_bytes(data)
    store = attempt('arrays', folder, tmp_path)
    reasons = {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}
    assert store.ids == ['good'] and set(reasons) == {'a.npy', 'b.npz', 'c.npz'} and 'unpack to' in reasons['c.npz']


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def gadget(touched):
    """getattr(os, 'system')('touch ...'), written by hand: no class is needed for it."""
    return (b'cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S\'os\'\ntRS\'system\'\ntR(S\'touch '
            + str(touched).encode() + b"'\ntR.")


def test_pickles_are_not_run(tmp_path):
    touched = tmp_path / 'touched'
    hostile = [pickle.dumps(Call(os.system, f'touch {touched}')), gadget(touched),
               pickle.dumps(dict(annotations=[Call(eval, f'open({str(touched)!r}, "w")')])),
               pickle.dumps(np.array([Call(os.system, f'touch {touched}')], object))]
    array = io.BytesIO()
    np.save(array, np.array([Call(os.system, f'touch {touched}')], object), allow_pickle=True)
    for i, content in enumerate(hostile):
        lay_out(tmp_path / f'{i}', {'p.pkl': content, 'train_position.npy': dumped(numbers(2, 3, 4, 25, 2)),
                                    'train_label.pkl': content, 'x.npy': array.getvalue()})
        for importer in ('pyskl', 'official_npy', 'arrays'):
            assert isinstance(attempt(importer, tmp_path / f'{i}', tmp_path / f'{i}{importer}'), str)
    assert not touched.exists()
    with pytest.raises(TypeError):  # the attack works without protection
        os.system(pickle.loads(gadget(touched)))
    assert touched.exists()


def test_a_name_that_is_no_text(tmp_path):
    files, _ = sound('ntu60')
    lay_out(tmp_path / 'raw', files)
    (tmp_path / 'raw' / os.fsdecode(b'\xff\xfe.skeleton')).write_bytes(b'')
    store = attempt('ntu60', tmp_path / 'raw', tmp_path)
    entry, = store.index['provenance']['skipped']
    assert entry['id'] == '\\udcff\\udcfe.skeleton' and entry['id'].encode()


@pytest.mark.parametrize('place', ['file', 'no permission', 'link'])
def test_places_where_nothing_can_be_written(tmp_path, place, monkeypatch):
    lay_out(tmp_path / 'raw', sound('ntu60')[0])
    (tmp_path / 'there').write_text('precious')
    out = tmp_path / 'there' / 'store'
    if place == 'no permission':
        out = tmp_path / 'new' / 'store'

        def refuse(*arguments, **options):
            raise PermissionError(13, 'Permission denied')
        monkeypatch.setattr('os.makedirs', refuse)
    elif place == 'link':
        out = tmp_path / 'link'
        out.symlink_to(tmp_path / 'nowhere')
    for resume in (True, False):
        with pytest.raises(UserError, match='cannot write to|exists: choose') as failure:
            with StoreWriter(out, resume=resume) as writer:
                IMPORTERS['ntu60'](str(tmp_path / 'raw'), writer)
        assert '\n' not in str(failure.value)
    assert (tmp_path / 'there').read_text() == 'precious' and not (tmp_path / 'nowhere').exists()


@pytest.mark.parametrize('content', [
    dict(split={0: ['a']}), dict(split=dict(train=3)), dict(split=dict(train='ab')), dict(classes=3),
    dict(classes='ab'), dict(annotations=3), dict(split=[1]),
    dict(annotations=[dict(frame_dir='', keypoint=numbers(1, 3, 20, 3))]),
    dict(annotations=[dict(frame_dir='a', label=10 ** 12, keypoint=numbers(1, 3, 20, 3))]),
    dict(annotations=[dict(frame_dir='a99_s99999999999_e1', keypoint=numbers(1, 3, 20, 3))]),
    dict(annotations=[dict(frame_dir='a', keypoint=numbers(1, 3, 20, 0))]), dict(annotations=[])])
def test_pickles_of_odd_content(tmp_path, content):
    annotations = [dict(frame_dir='a', label=0, keypoint=numbers(1, 3, 20, 3))]
    lay_out(tmp_path / 'raw', {'p.pkl': pickle.dumps(dict(dict(annotations=annotations), **content))})
    assert isinstance(attempt('pyskl', tmp_path / 'raw', tmp_path), str)
