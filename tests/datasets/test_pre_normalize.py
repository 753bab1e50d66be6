"""PreNormalize3D: its guarantees, and a reference that rotates one joint at a time."""
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mmskelssl.datasets.transforms import PreNormalize3D
from mmskelssl.datasets.transforms.pre_normalize import rotation_between
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

NTU = get_layout('ntu25')


def sample(persons=2, frames=9, seed=0, layout=NTU):
    keypoint = np.random.default_rng(seed).normal((.2, .1, 3), .3, (persons, frames, layout.num_joints, 3))
    return dict(keypoint=keypoint, layout=layout, frame_dir='clip7', total_frames=frames)


def oracle(keypoint, up):
    """Rotate one joint at a time with scipy."""
    counts = [[t for t, body in enumerate(person) if body.any()] for person in keypoint]
    order = [1, 0] if len(counts) == 2 and len(counts[1]) > len(counts[0]) else list(range(len(counts)))
    frames = counts[order[0]]
    first = keypoint[order[0], frames[0]]
    moved = [joint - first[1] if joint.any() else joint for joint in first]

    def towards(source, target):
        axis = np.cross(source, target)
        angle = np.arctan2(np.linalg.norm(axis), source @ target)
        return Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)

    spine = towards(moved[1] - moved[0], up)
    turn = towards(spine.apply(moved[8] - moved[4]), np.array([1., 0, 0])) * spine
    out = np.zeros((len(order), len(frames), *keypoint.shape[2:]))
    for m, person in enumerate(order):
        for i, t in enumerate(frames):
            for v, joint in enumerate(keypoint[person, t]):
                if joint.any():
                    out[m, i, v] = turn.apply(joint - first[1])
    return out


@pytest.mark.parametrize('up,axis', [('y', [0., 1, 0]), ('z', [0., 0, 1])])
@pytest.mark.parametrize('persons', [1, 2])
def test_against_the_oracle(persons, up, axis):
    results = sample(persons)
    keypoint = results['keypoint']
    keypoint[0, 2:4] = 0
    keypoint[-1, 0] = 0
    keypoint[0, 5, 7] = 0
    before = keypoint.copy()
    out = PreNormalize3D(up=up)(dict(results))
    np.testing.assert_array_equal(keypoint, before, err_msg='the input was changed in place')
    expected = oracle(keypoint, np.array(axis))
    assert out['keypoint'].shape == expected.shape
    np.testing.assert_allclose(out['keypoint'], expected, atol=1e-12)
    assert out['total_frames'] == out['num_frames'] == expected.shape[1]


def test_the_person_who_is_there_longer_comes_first():
    results = sample()
    results['keypoint'][0, 3:] = 0
    out = PreNormalize3D()(dict(results))
    np.testing.assert_allclose(out['keypoint'], oracle(results['keypoint'], np.array([0., 1, 0])), atol=1e-12)
    np.testing.assert_allclose(out['body_center'], results['keypoint'][1, 0, 1])


def test_the_first_frame_faces_front_and_distances_stay():
    results = sample(1, seed=3)
    out = PreNormalize3D()(dict(results))['keypoint']
    across = out[0, 0, 8] - out[0, 0, 4]
    np.testing.assert_allclose(across / np.linalg.norm(across), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(out[0, 0, 1], 0, atol=1e-12)

    def distances(x):
        flat = x.reshape(-1, 3)
        return np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(distances(out), distances(results['keypoint']), atol=1e-9)


@pytest.mark.parametrize('off', ['align_centre', 'align_spine'])
def test_either_half_can_be_left_out(off):
    results = sample(1)
    out = PreNormalize3D(**{off: False})(dict(results))['keypoint']
    if off == 'align_spine':
        np.testing.assert_array_equal(out, results['keypoint'] - results['keypoint'][0, 0, 1])
    else:
        np.testing.assert_allclose(np.linalg.norm(out, axis=-1), np.linalg.norm(results['keypoint'], axis=-1))


def test_float32_stays_float32():
    results = sample()
    wide = PreNormalize3D()(dict(results))['keypoint']
    narrow = PreNormalize3D()(dict(results, keypoint=results['keypoint'].astype(np.float32)))['keypoint']
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, atol=2e-6)


@pytest.mark.parametrize('source', [(0, 0, 0), (0, 2, 0), (0, -2, 0)])
def test_a_rotation_that_is_not_defined_turns_nothing(source):
    np.testing.assert_array_equal(rotation_between(np.array(source, float), np.array([0., 1, 0])), np.eye(3))


def test_what_cannot_be_normalised_is_said():
    empty = sample()
    empty['keypoint'][:] = 0
    with pytest.raises(UserError, match='clip7: every coordinate is zero'):
        PreNormalize3D()(empty)
    with pytest.raises(UserError, match=r'clip7: .*one or two persons in 3D.*\(3, 9, 25, 3\)'):
        PreNormalize3D()(sample(3))
    with pytest.raises(UserError, match='joint 30 of 25'):
        PreNormalize3D(centre=30)(sample())
    with pytest.raises(UserError, match="up must be 'y' or 'z', not 'x'"):
        PreNormalize3D(up='x')


def test_another_layout_names_its_joints():
    layout = get_layout('kinect20')
    out = PreNormalize3D(centre=1, spine=(0, 1))(sample(1, layout=layout))['keypoint']
    right, left = layout.shoulders[::-1]
    across = out[0, 0, right] - out[0, 0, left]
    np.testing.assert_allclose(across / np.linalg.norm(across), [1, 0, 0], atol=1e-12)
