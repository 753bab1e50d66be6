"""Hands, and data sets for the general importers, each as a file in its published format."""
import io
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.errors import UserError

T = 6
RNG = np.random.default_rng(5)
HANDS = RNG.uniform(100, 200, (2, T, 21, 2)).round(2) + np.array([0, 300]).reshape(2, 1, 1, 1)
SCORES = RNG.uniform(.3, .9, (2, T, 21)).round(3)


def load(tmp_path, importer, files, **options):
    raw = tmp_path / 'raw'
    for name, content in files.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with StoreWriter(tmp_path / 's', overwrite=True) as writer:
        IMPORTERS[importer](str(raw), writer, **options)
    return SkeletonStore(tmp_path / 's')


def openpose(person_id=-1):
    def flat(points, scores):
        return np.concatenate([points, scores[:, None]], 1).ravel().tolist()
    return {f'wave_{t:012d}_keypoints.json': json.dumps(dict(version=1.3, people=[dict(
        person_id=[person_id], pose_keypoints_2d=flat(np.full((25, 2), 50. + t), np.full(25, .5)),
        face_keypoints_2d=[], hand_left_keypoints_2d=flat(HANDS[0, t], SCORES[0, t]),
        hand_right_keypoints_2d=flat(HANDS[1, t], SCORES[1, t]) if t else [0] * 63)])) for t in range(T)}


@pytest.mark.parametrize('person_id', [-1, 4], ids=['untracked', 'tracked'])
def test_hands_of_openpose(tmp_path, person_id):
    store = load(tmp_path, 'pose', openpose(person_id), joints='hands')
    assert store.layout.name == 'hand21' and store.head['units'] == 'px' and store.keypoints(0).shape == (2, T, 21, 2)
    np.testing.assert_allclose(store.keypoints(0)[0], HANDS[0], rtol=1e-6)
    np.testing.assert_allclose(store.scores(0)[0], SCORES[0], rtol=1e-6)
    np.testing.assert_allclose(store.keypoints(0)[1, 1:], HANDS[1, 1:], rtol=1e-6)
    assert not store.keypoints(0)[1, 0].any()  # not found in the first frame
    assert load(tmp_path, 'pose', {}).layout.name == 'openpose25'


def test_hands_that_are_not_there(tmp_path):
    files = {'a.json': '[{"people": [{"pose_keypoints_2d": [' + ', '.join(['1.5'] * 75) + ']}]}]'}
    with pytest.raises(UserError, match='none of the first files shows a person'):
        load(tmp_path, 'pose', files, joints='hands')


def test_the_hands_of_mediapipe(tmp_path):
    """The results of the older solutions: hands of a frame under multi_hand_landmarks, shares of the picture."""
    points = RNG.uniform(.2, .8, (2, T, 21, 3)).round(4)
    points[1] += (0, 0, 4)
    frames = [dict(multi_hand_landmarks=[dict(landmark=[dict(x=x, y=y, z=z) for x, y, z in hand[t].tolist()])
                                         for hand in points], multi_handedness=[{}, {}]) for t in range(T)]
    store = load(tmp_path, 'pose', {'v.json': json.dumps(frames)}, joints='hands')
    assert store.layout.name == 'hand21' and store.channels == 3 and store.head['units'] == 'image'
    got = store.keypoints(0)
    expected = points * (-1, -1, 1)  # y up, like all landmarks
    order = [0, 1] if np.allclose(got[0], expected[0], atol=1e-5) else [1, 0]
    np.testing.assert_allclose(got, expected[order], rtol=1e-5)


def test_msrc12(tmp_path):
    """A time and 20 times x, y, z and a state on each line, separated by blanks, in a file that ends in .csv."""
    points, state = RNG.normal(size=(T, 20, 3)).round(4), RNG.integers(1, 3, (T, 20, 1))
    rows = np.concatenate([points, state], 2).reshape(T, 80)
    text = ''.join(f'{26523 + 33 * t} ' + ' '.join(f'{value:g}' for value in row) + '\n' for t, row in enumerate(rows))
    store = load(tmp_path, 'pose', {'P1_1_1_p06.csv': text, 'P1_1_1_p06.tagstream': 'XQPCTick;Tag\n'},
                 layout='kinect20')
    assert store.layout.name == 'kinect20' and store.channels == 3 and store.head['units'] == 'm'
    np.testing.assert_allclose(store.keypoints(0)[0], points, rtol=1e-6)


def test_dhg_and_shrec(tmp_path):
    points = RNG.normal(size=(T, 22, 3)).round(4)
    text = ''.join(' '.join(f'{value:g}' for value in frame.ravel()) + '\n' for frame in points)
    store = load(tmp_path, 'pose', {f'gesture_{g}/finger_1/subject_1/essai_{e}/skeleton_world.txt': text
                                    for g in (1, 2) for e in (1, 2)}, layout='shrec22')
    assert len(store) == 4 and store.layout.name == 'shrec22'
    for i in range(4):
        np.testing.assert_allclose(store.keypoints(i)[0], points, rtol=1e-6)


def test_humanml3d(tmp_path):
    points = RNG.normal(size=(T, 22, 3)).astype(np.float32)
    file = io.BytesIO()
    np.save(file, points)
    store = load(tmp_path, 'arrays', {'new_joints/000001.npy': file.getvalue(), 'new_joints/M000001.npy':
                                      file.getvalue()}, layout='smpl22')
    assert store.channels == 3 and store.head['third'] == 'depth' and store.head['units'] == 'm'
    np.testing.assert_array_equal(store.keypoints(1)[0], points)
