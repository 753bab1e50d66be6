"""MSR Action3D, SBU and the AimCLR arrays: synthetic files, and the real ones if available."""
import pickle
import warnings

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.msr import JOINTS, read_text
from mmskelssl.datasets.importers.sbu import METRES, read_positions
from mmskelssl.errors import UserError


def import_with(name, path, out, **options):
    with StoreWriter(out) as writer:
        IMPORTERS[name](str(path), writer, **options)
    return SkeletonStore(out)


def reasons(store, what='skipped'):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][what]}


def numbers(seed, *shape):
    return np.round(np.random.default_rng(seed).normal(size=shape), 5)


# --- MSR Action3D ----------------------------------------------------------------------------------------------------

def msr_text(frames):
    return '\n'.join(' '.join(map(str, row)) + ' 0.5' for row in frames.reshape(-1, 3)) + '\n'


def write_msr(folder, names):
    folder.mkdir()
    for i, name in enumerate(names):
        (folder / f'{name}_skeleton3D.txt').write_text(msr_text(numbers(i, 4, 20, 3)))
    return folder


def test_msr(tmp_path):
    names = ['a02_s01_e01', 'a06_s02_e01', 'a08_s03_e02', 'a20_s10_e03', 'a18_s05_e01']
    raw = write_msr(tmp_path / 'raw', names)
    (tmp_path / 'bad.txt').write_text('a18_s05_e01\n')
    store = import_with('msr', raw, tmp_path / 's', exclude=str(tmp_path / 'bad.txt'))
    assert store.ids == sorted(names) and store.labels.tolist() == [1, 5, 7, 17, 19]
    np.testing.assert_allclose(store.keypoints(0)[0], numbers(0, 4, 20, 3)[:, JOINTS], atol=1e-6)
    odd, even = [names[0], names[2], names[4]], [names[1], names[3]]
    assert store.splits == dict(
        all_train=odd, all_test=even, train=odd[:2], test=even, as1_train=odd[:1], as1_test=even,
        as2_train=odd[1:2], as3_test=even)


def test_msr_leaves_out_frames_without_a_body(tmp_path):
    frames = numbers(1, 6, 20, 3)
    frames[[0, 3]] = 0
    sample, = read_text('x/a01_s01_e01_skeleton3D.txt', msr_text(frames).replace('\n', '\r\n').encode())
    np.testing.assert_allclose(sample['keypoints'][0], frames[[1, 2, 4, 5]][:, JOINTS])
    assert sample['note'] == '2 of 6 frames without a body dropped' and sample['name'] == 'a01_s01_e01'


@pytest.mark.parametrize('content, reason', [
    ('', '0 rows, not 20 per frame'), ('1 2 3 4\n' * 19, '19 rows'), ('0 0 0 0\n' * 40, 'lost in every frame'),
    ('1 2 3 4\n1 2 3\n', "line 2: '1 2 3' is not x y z confidence"), ('a b c d\n', 'line 1'), ('\0', 'not text')])
def test_msrs_faults(tmp_path, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_text('a01_s01_e01.txt', content.encode())
    with pytest.raises(ValueError, match='action 21 is outside 1..20'):
        read_text('a21_s01_e01.txt', msr_text(numbers(0, 1, 20, 3)).encode())
    with pytest.raises(UserError, match='no text files named aXX'):
        import_with('msr', tmp_path, tmp_path / 's')
    with pytest.raises(UserError, match='no such file'):
        import_with('msr', write_msr(tmp_path / 'raw', ['a01_s01_e01']), tmp_path / 's', exclude=str(tmp_path / 'no'))


def test_the_real_msr(real_data, tmp_path):
    raw = import_with('msr', real_data / 'msr_action3d_raw', tmp_path / 'raw')
    store = import_with('pyskl', real_data / 'msr_action3d.pkl', tmp_path / 's', layout='kinect20', joints=JOINTS)
    assert len(raw) == 8 and not reasons(raw)
    for i, name in enumerate(raw.ids):
        there = next(position for other, position in store.positions.items() if other.startswith(name))
        assert raw.labels[i] == store.labels[there] and raw.subjects[i] == store.subjects[there]
        np.testing.assert_allclose(raw.keypoints(i), store.keypoints(there), atol=1e-5)


# --- SBU -------------------------------------------------------------------------------------------------------------

def sbu_text(rows, first=1):
    return ''.join(f'{first + i},' + ','.join(map(str, row)) + '\n' for i, row in enumerate(rows))


def test_sbu(tmp_path):
    pairs = ['s01s02', 's02s03', 's01s03', 's02s01', 's04s02']
    for i, pair in enumerate(pairs):
        folder = tmp_path / 'raw' / pair / f'0{i + 1}' / '001'
        folder.mkdir(parents=True)
        (folder / 'skeleton_pos.txt').write_text(sbu_text(numbers(i, 3, 90)))
    store = import_with('sbu', tmp_path / 'raw', tmp_path / 's')
    assert len(store) == 5 and set(store.persons) == {2} and store.layout.name == 'sbu15' and len(store.classes) == 8
    for i, pair in enumerate(pairs):
        name = f'{pair}_0{i + 1}_001'
        position = store.positions[name]
        expected = numbers(i, 3, 2, 15, 3).swapaxes(0, 1) * METRES
        np.testing.assert_allclose(store.keypoints(position), expected, atol=1e-6)
        assert store.labels[position] == i and store.splits[f'fold{i + 1}_test'] == [name]
        assert name not in store.splits[f'fold{i + 1}_train'] and len(store.splits[f'fold{i + 1}_train']) == 4


def test_sbus_repeated_and_empty_persons():
    rows = numbers(0, 3, 90)
    rows[1, 45:] = 0
    text = sbu_text(rows) + sbu_text(rows[2:], first=3) + '\n'
    sample, = read_positions('s01s02/08/002/skeleton_pos.txt', text.replace('\n', '\r\n').encode())
    assert sample['keypoints'].shape == (2, 3, 15, 3) and sample['label'] == 7
    assert not sample['keypoints'][1, 1].any() and sample['keypoints'][1, 2].all()


@pytest.mark.parametrize('content, reason', [
    ('', 'it is empty'), ('1,2,3\n', 'line 1: 2 coordinates, expected 90'), ('1,x\n', 'line 1: not only numbers'),
    (sbu_text(numbers(0, 2, 90))[:-300], 'line 2: ')])
def test_sbus_faults(tmp_path, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_positions('s01s02/01/001/skeleton_pos.txt', content.encode())
    with pytest.raises(ValueError, match='action 09 is outside'):
        read_positions('s01s02/09/001/skeleton_pos.txt', content.encode())
    with pytest.raises(UserError, match='no files named like s01s02/01/001'):
        import_with('sbu', tmp_path, tmp_path / 's')


# --- arrays of AimCLR and ActCLR -------------------------------------------------------------------------------------

def write_official(folder, clips, names, labels, prefix='train'):
    folder.mkdir(exist_ok=True)
    np.save(folder / f'{prefix}_position.npy', clips)
    (folder / f'{prefix}_label.pkl').write_bytes(pickle.dumps((names, labels)))
    return folder


def test_official_npy(tmp_path):
    clips = numbers(0, 3, 3, 5, 25, 2).astype(np.float32)
    clips[1, ..., 1] = 0
    clips[2] = 0
    names = [f'S001C001P00{i}R001A001' for i in (1, 2, 3)]
    folder = write_official(tmp_path / 'o', clips, [f'{name}.skeleton' for name in names], [4, 5, 6])
    write_official(folder, clips[:1], ['S001C001P009R001A001.skeleton'], [9], 'val')
    store = import_with('official_npy', folder, tmp_path / 's', protocol='xview')
    assert store.ids == [*names, 'S001C001P009R001A001'] and store.labels.tolist() == [4, 5, 6, 9]
    assert store.persons.tolist() == [2, 1, 1, 2] and store.subjects.tolist() == [1, 2, 3, 9]
    assert store.splits == dict(xview_train=names, xview_test=store.ids[3:])
    np.testing.assert_array_equal(store.keypoints(0), clips[0].transpose(3, 1, 2, 0))
    np.testing.assert_array_equal(store.keypoints(1), clips[1, ..., :1].transpose(3, 1, 2, 0))


@pytest.mark.parametrize('clips, names, labels, message', [
    (np.zeros((2, 3, 5, 20, 2)), ['a', 'b'], [0, 1], r'has shape \(2, 3, 5, 20, 2\)'),
    (np.ones((2, 3, 5, 25, 0)), ['a', 'b'], [0, 1], 'has shape'),
    (np.full((2, 3, 5, 25, 2), 'x'), ['a', 'b'], [0, 1], 'not of numbers'),
    (np.ones((2, 3, 5, 25, 2)), ['a'], [0], '1 names and 1 labels for the 2 clips'),
    (np.ones((2, 3, 5, 25, 2)), ['a', 'b'], ['x', 'y'], 'does not hold'),
    (np.ones((2, 3, 0, 25, 2)), ['a', 'b'], [0, 1], 'empty sequence'),
    (np.array([{}], object), ['a'], [0], 'cannot be read')])
def test_official_npys_faults(tmp_path, clips, names, labels, message):
    folder = write_official(tmp_path / 'o', clips, names, labels)
    with warnings.catch_warnings(), pytest.raises(UserError, match=message):
        warnings.simplefilter('error')
        import_with('official_npy', folder, tmp_path / 's')
    (folder / 'train_label.pkl').unlink()
    with pytest.raises(UserError):
        import_with('official_npy', folder, tmp_path / 's')
    with pytest.raises(UserError, match='no train_NAME.npy or val_NAME.npy'):
        import_with('official_npy', folder / 'train_position.npy', tmp_path / 's')
    assert not (tmp_path / 's').exists()
