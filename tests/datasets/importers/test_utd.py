"""UTD-MHAD's .mat files, written by scipy in MATLAB's format."""
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.utd import read_mat
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout


def load(path, out):
    with StoreWriter(out) as writer:
        IMPORTERS['utd'](str(path), writer)
    store = SkeletonStore(out)
    skipped = store.index['provenance']['skipped']
    return store, {entry['id'].removesuffix('_skeleton.mat'): entry['reason'] for entry in skipped}


def write(folder, name, content, key='d_skel', **options):
    folder.mkdir(exist_ok=True)
    savemat(folder / f'{name}_skeleton.mat', {key: content}, **options)


def skeleton(frames=5, seed=0):
    return np.random.default_rng(seed).normal(size=(20, 3, frames))


def test_sequences_order_labels_and_splits(tmp_path):
    raw = tmp_path / 'raw'
    for i, name in enumerate(('a1_s1_t1', 'a2_s2_t4', 'a27_s3_t2', 'a10_s8_t3')):
        write(raw, name, skeleton(i + 1, i), do_compression=bool(i % 2))
    store, skipped = load(raw, tmp_path / 's')
    assert not skipped and store.splits['train'] == ['a1_s1_t1', 'a27_s3_t2'] == store.splits['xsub_train']
    assert sorted(store.splits['test']) == ['a10_s8_t3', 'a2_s2_t4'] and len(store.classes) == 27
    i = store.positions['a27_s3_t2']
    assert store.labels[i] == 26 and store.samples[i]['subject'] == 3 and store.keypoints(i).shape == (1, 3, 20, 3)
    names = get_layout('kinect20').joints
    for ours, theirs in (('head', 0), ('shoulder_centre', 1), ('spine', 2), ('hip_centre', 3), ('left_shoulder', 4),
                         ('right_foot', 19)):
        np.testing.assert_allclose(store.keypoints(i)[0, :, names.index(ours)], skeleton(3, 2)[theirs].T, atol=1e-6)


def test_bad_files_are_listed(tmp_path):
    raw = tmp_path / 'raw'
    write(raw, 'a1_s1_t1', skeleton())
    good = (raw / 'a1_s1_t1_skeleton.mat').read_bytes()
    write(raw, 'a1_s2_t1', skeleton(), key='other')
    write(raw, 'a1_s3_t1', skeleton()[:15])
    write(raw, 'a1_s4_t1', np.full((20, 3, 2), np.nan))
    write(raw, 'a28_s1_t1', skeleton())
    write(raw, 'a1_s5_t1', np.array([['x'] * 3] * 20, object).reshape(20, 3, 1))
    write(raw, 'a1_s6_t1', np.zeros((20, 3, 0)))
    (raw / 'a1_s7_t1_skeleton.mat').write_bytes(good[:200])
    (raw / 'a1_s8_t1_skeleton.mat').write_bytes(b'')
    (raw / 'notes.mat').write_bytes(good)
    (raw / 'a2_s1_t1_skeleton.mat').symlink_to(tmp_path / 'elsewhere.mat')
    store, skipped = load(raw, tmp_path / 's')
    assert store.ids == ['a1_s1_t1'] and len(skipped) == 10
    assert skipped['a1_s2_t1'] == 'no variable d_skel; it has other' and '(15, 3, 5)' in skipped['a1_s3_t1']
    assert 'NaN' in skipped['a1_s4_t1'] and 'outside 1..27' in skipped['a28_s1_t1']
    assert 'not an array of real numbers' in skipped['a1_s5_t1'] and '(20, 3, 0)' in skipped['a1_s6_t1']
    assert 'read' in skipped['a1_s7_t1'] and 'readable' in skipped['a1_s8_t1'] and 'aX_sX_tX' in skipped['notes.mat']
    assert skipped['a2_s1_t1'] == 'it is a link that leads out of the folder'


def test_a_bomb_is_not_unpacked(tmp_path):
    """A compressed matrix with a stated 10^9 frames is refused by its shape, regardless of its content."""
    raw = tmp_path / 'raw'
    write(raw, 'a1_s1_t1', skeleton())
    write(raw, 'a1_s2_t1', skeleton(), do_compression=True)
    file = raw / 'a1_s2_t1_skeleton.mat'
    data = file.read_bytes()
    plain = bytearray(zlib.decompress(data[136:]))
    at = plain.index(np.array([20, 3, 5], '<i4').tobytes())
    plain[at:at + 12] = np.array([20, 3, 10**9], '<i4').tobytes()
    packed = zlib.compress(bytes(plain))
    file.write_bytes(data[:132] + np.array([len(packed)], '<u4').tobytes() + packed)
    _, skipped = load(raw, tmp_path / 's')
    assert '(20, 3, 1000000000)' in skipped['a1_s2_t1']
    os.remove(raw / 'a1_s1_t1_skeleton.mat')
    with pytest.raises(UserError, match='no sample could be imported'):
        load(raw, tmp_path / 't')


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_damage_is_imported_or_skipped(tmp_path_factory, data):
    raw = tmp_path_factory.mktemp('utd') / 'raw'
    write(raw, 'a1_s1_t1', skeleton())
    content = bytearray((raw / 'a1_s1_t1_skeleton.mat').read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    (raw / 'a1_s2_t1_skeleton.mat').write_bytes(content[:end] if data.draw(st.booleans()) else content)
    store, skipped = load(raw, raw.parent / 's')
    assert len(store) + len(skipped) == 2 and all(skipped.values())


@pytest.mark.parametrize('compressed', [False, True])
def test_damage_never_ends_the_process(tmp_path, compressed):
    """Files of which some crash scipy's reader."""
    write(tmp_path, 'a1_s1_t1', skeleton(), do_compression=compressed)
    good, rng = (tmp_path / 'a1_s1_t1_skeleton.mat').read_bytes(), np.random.default_rng(0)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        try:
            assert read_mat('a1_s1_t1_skeleton.mat', bytes(data))[0]['keypoints'].shape[2:] == (20, 3)
        except ValueError as error:
            assert str(error)
