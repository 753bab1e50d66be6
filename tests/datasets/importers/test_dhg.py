"""DHG-14/28 and SHREC'17: folders as published, with their lists of frames and of splits."""
import numpy as np
import pytest

from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.detect import detect
from mmskelssl.datasets.importers.dhg import CLASSES, read_gesture
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError


def hand(key, frames=12):
    return np.random.default_rng(key).normal(.1, .05, (frames, 22, 3)).round(4)


def write(root, keys, name='skeleton_world.txt'):
    for key in keys:
        folder = root / 'gesture_{}/finger_{}/subject_{}/essai_{}'.format(*key)
        folder.mkdir(parents=True)
        np.savetxt(folder / name, hand(key).reshape(12, -1), fmt='%.4f')
        np.savetxt(folder / 'skeleton_image.txt', (hand(key)[..., :2] * 900).reshape(12, -1), fmt='%d')
        np.savetxt(folder / 'general_information.txt', np.ones((12, 5)), fmt='%d')
    return root


def imported(path, out, **options):
    with StoreWriter(out, source='test') as writer:
        IMPORTERS['dhg'](str(path), writer, jobs=1, **options)
    return SkeletonStore(out)


def test_dhg(tmp_path):
    keys = [(g, f, s, 1) for g in (1, 14) for f in (1, 2) for s in (1, 2)]
    root = write(tmp_path / 'DHG2016', keys)
    (root / 'informations_troncage_sequences.txt').write_text('1 1 1 1 2 9\n14 2 2 1 0 11\n\n')
    store = imported(root, tmp_path / 's')
    assert store.layout.name == 'shrec22' and store.channels == 3 and store.head['units'] == 'm' and len(store) == 8
    assert store.classes == CLASSES and set(store.labels.tolist()) == {0, 13}
    np.testing.assert_allclose(store.keypoints(store.positions['g01_f1_s01_e01'])[0], hand((1, 1, 1, 1))[2:10],
                               rtol=1e-6)
    assert store.frames[store.positions['g14_f2_s02_e01']] == 12
    assert {store.subjects[i] for i in store.split('xsub_train')} == {1}
    fine = imported(root, tmp_path / 'fine', fingers=True)
    label = fine.labels[fine.positions['g14_f2_s02_e01']]
    assert len(fine.classes) == 28 and fine.classes[label] == 'shake, whole hand'
    lines = [*detect(str(root))]
    assert 'DHG' in lines[0] and 'prepare dhg ' in lines[1]


def test_shrec(tmp_path):
    root = write(tmp_path / 'SHREC', [(2, 1, 1, 1), (2, 1, 2, 1), (3, 2, 1, 2)], 'skeletons_world.txt')
    (root / 'train_gestures.txt').write_text('2 1 1 1 2 3 12\n3 2 1 2 3 6 12\n')
    (root / 'test_gestures.txt').write_text('2 1 2 1 2 3 12\n')
    store = imported(root, tmp_path / 's')
    assert store.splits == dict(train=['g02_f1_s01_e01', 'g03_f2_s01_e02'], test=['g02_f1_s02_e01'])


@pytest.mark.parametrize('text, reason', [
    ('', 'it is empty'), ('1 2 3\n', 'line 1: 3 coordinates, expected 66'),
    ('\n' + '1 ' * 65 + 'x', 'line 2: not only')])
def test_damaged_files(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_gesture('gesture_1/finger_1/subject_1/essai_1/skeleton_world.txt', text.encode(), {})


def test_lists_that_do_not_fit(tmp_path):
    name, data = 'gesture_1/finger_1/subject_1/essai_1/skeleton_world.txt', ('0.5 ' * 66 + '\n').encode() * 3
    with pytest.raises(ValueError, match='names the frames 1 to 3 of 3'):
        read_gesture(name, data, {(1, 1, 1, 1): (1, 3)})
    with pytest.raises(ValueError, match=r'gesture 15 is outside 1\.\.14'):
        read_gesture(name.replace('gesture_1', 'gesture_15'), data, {})
    root = write(tmp_path / 'd', [(1, 1, 1, 1)])
    (root / 'informations_troncage_sequences.txt').write_text('1 1 1 1 a 3\n')
    with pytest.raises(UserError, match=r'informations_troncage_sequences\.txt, line 1: expected 6 numbers'):
        imported(root, tmp_path / 's')
    with pytest.raises(UserError, match='no files named gesture_1'):
        imported(tmp_path / 'd' / 'gesture_1' / 'finger_1', tmp_path / 't')
