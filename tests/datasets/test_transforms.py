"""Transforms, compared with references that loop over single frames, persons and joints."""
import math
import statistics

import numpy as np
import pytest
import torch

from mmskelssl.datasets.transforms import (
    AlignSequence,
    AlignShoulders,
    Center,
    FitRange,
    PackSkeleton,
    PadFrames,
    ResizeFrames,
    SelectPersons,
)
from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

LAYOUTS = ['ntu25', 'kinect20', 'sbu15']


def sample(layout='ntu25', persons=2, frames=17, seed=0):
    layout = get_layout(layout)
    keypoint = np.random.default_rng(seed).normal((.2, .1, 3), .3, (persons, frames, layout.num_joints, 3))
    keypoint = keypoint.astype(np.float32)
    return dict(keypoint=keypoint, total_frames=frames, frame_dir='clip7', layout=layout)


def run(step, results):
    before = results['keypoint'].copy()
    given = results['keypoint']
    out = step(dict(results))
    np.testing.assert_array_equal(given, before, err_msg='the input was changed in place')
    return out


def turned(point, theta):
    x, y, z = (float(value) for value in point)
    return [math.cos(theta) * x - math.sin(theta) * z, y, math.sin(theta) * x + math.cos(theta) * z]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('joint', [None, 2])
def test_center(layout, joint):
    results = sample(layout)
    out = run(Center(joint), results)['keypoint']
    centre = results['layout'].centre if joint is None else joint
    for person, frames in enumerate(results['keypoint']):
        for t, frame in enumerate(frames):
            for j, point in enumerate(frame):
                np.testing.assert_allclose(out[person, t, j], point - frame[centre], atol=1e-6)
    assert (out[:, :, centre] == 0).all()


def test_center_counts_the_frames_before_it_hides_them():
    results = sample('kinect20')
    results['keypoint'][:, 5] = 0
    assert run(Center(joint=0), results)['num_frames'] == 16


def resize_oracle(track, length, frames):
    """Resize one coordinate over time with explicit loops."""
    out = []
    for i in range(frames):
        position = min(max((i + .5) * length / frames - .5, 0), length - 1)
        low = int(math.floor(position))
        high = min(low + 1, length - 1)
        out.append(float(track[low]) + (position - low) * (float(track[high]) - float(track[low])))
    return out


@pytest.mark.parametrize('length, frames', [(17, 50), (17, 17), (80, 20), (1, 5), (2, 3), (9, 1)])
def test_resize(length, frames):
    results = sample(frames=length)
    out = run(ResizeFrames(frames), results)
    assert out['keypoint'].shape == (2, frames, 25, 3) and out['keypoint'].dtype == np.float32
    assert out['num_frames'] == out['total_frames'] == frames  # all of them are real
    for person in range(2):
        for joint in (0, 7, 24):
            for axis in range(3):
                expected = resize_oracle(results['keypoint'][person, :, joint, axis], length, frames)
                np.testing.assert_allclose(out['keypoint'][person, :, joint, axis], expected, atol=2e-6)


def test_resize_uses_the_published_length():
    results = sample(frames=20)
    results['keypoint'][:, 15:] = 0  # padding
    results['keypoint'][0, 4, 0] = 0  # and one frame in which joint 0 is lost
    out = run(ResizeFrames(10), results)
    expected = resize_oracle(results['keypoint'][1, :, 3, 1], 14, 10)
    np.testing.assert_allclose(out['keypoint'][1, :, 3, 1], expected, atol=2e-6)


def test_a_joint_that_is_never_seen_hides_no_clip():
    results = sample(frames=6)
    results['keypoint'][0, :, 0] = 0
    assert run(Center(), results)['num_frames'] == 6


@pytest.mark.parametrize('step', [Center(), AlignSequence(), ResizeFrames(5)])
def test_an_empty_sequence_is_named(step):
    results = sample()
    results['keypoint'][:] = 0
    with pytest.raises(UserError, match='sample clip7: every coordinate is zero'):
        step(results)


def shoulders_oracle(keypoint, left, right):
    out = np.zeros(keypoint.shape)
    for person, frames in enumerate(keypoint.astype(np.float64)):
        angles, depth = [], 0.
        for frame in frames:
            dx, dz = frame[right][0] - frame[left][0], frame[right][2] - frame[left][2]
            angles.append(math.acos(dx / (math.hypot(dx, dz) + 1e-4)))
            depth += dz
        for t, frame in enumerate(frames):
            for joint, point in enumerate(frame):
                out[person, t, joint] = turned(point, -angles[t] if depth >= 0 else angles[t])
    return out


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('seed', range(3))
def test_shoulders(layout, seed):
    results = sample(layout, seed=seed)
    out = run(AlignShoulders(), results)['keypoint']
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, shoulders_oracle(results['keypoint'], *results['layout'].shoulders), atol=5e-5)


def test_shoulders_of_both_signs_and_one_for_the_whole_clip():
    results = sample('kinect20', persons=1, frames=3)
    left, right = results['layout'].shoulders
    results['keypoint'][:] = 0
    results['keypoint'][0, :, right] = [[.3, 0, .4], [.4, 0, .3], [.4, 0, -.3]]  # the last one disagrees
    across = run(AlignShoulders(), results)['keypoint'][0, :, right]
    np.testing.assert_allclose(across[:2], [[.5, 0, 0]] * 2, atol=1e-3)
    assert abs(across[2, 2]) > .4, 'as published, a frame that disagrees turns the wrong way'
    results['keypoint'][..., 2] *= -1
    mirrored = run(AlignShoulders(), results)['keypoint'][0, :, right]
    np.testing.assert_allclose(mirrored[:2], [[.5, 0, 0]] * 2, atol=1e-3)


def sequence_oracle(keypoint, layout):
    keypoint = keypoint.astype(np.float64)
    main = [person for person, frames in enumerate(keypoint) if frames.any()][0]
    seen = [frame for frame in keypoint[main] if frame.any()]
    left, right = layout.shoulders
    dx = statistics.median_low([frame[right][0] - frame[left][0] for frame in seen])
    dz = statistics.median_low([frame[right][2] - frame[left][2] for frame in seen])
    out = np.zeros(keypoint.shape)
    for person, frames in enumerate(keypoint):
        for t, frame in enumerate(frames):
            for joint, point in enumerate(frame):
                if frame.any():
                    out[person, t, joint] = turned(point - seen[0][layout.hip], -math.atan2(dz, dx))
    return out


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('frames', [1, 16, 17])
def test_sequence(layout, frames):
    results = sample(layout, frames=frames, seed=frames)
    if frames > 1:
        results['keypoint'][0, 0] = results['keypoint'][0, 6] = results['keypoint'][1, 10:] = 0
    out = run(AlignSequence(), results)['keypoint']
    np.testing.assert_allclose(out, sequence_oracle(results['keypoint'], results['layout']), atol=1e-5)
    first, (left, right) = int(frames > 1), results['layout'].shoulders
    np.testing.assert_allclose(out[0, first, results['layout'].hip], 0, atol=1e-6)
    seen = results['keypoint'][0].any((1, 2))
    across = out[0, seen, right] - out[0, seen, left]
    if frames % 2:  # for an even number, the lower median is not symmetric under the rotation
        assert np.median(across[:, 0]) > 0


def test_sequence_skips_an_absent_first_person():
    results = sample(persons=2)
    alone = run(AlignSequence(), dict(results, keypoint=results['keypoint'][1:]))['keypoint']
    results['keypoint'][0] = 0
    out = run(AlignSequence(), results)['keypoint']
    np.testing.assert_array_equal(out[1:], alone)
    assert not out[0].any()


def test_poses_in_2d_are_moved_and_not_turned():
    keypoint = np.random.default_rng(0).normal(300, 50, (1, 7, 15, 2)).astype(np.float32)
    results = dict(keypoint=keypoint.copy(), layout=get_layout('sbu15'), frame_dir='x')
    moved = AlignSequence(turn=False)(dict(results))['keypoint']
    np.testing.assert_allclose(moved, keypoint - keypoint[0, 0, get_layout('sbu15').hip], atol=1e-4)
    other = AlignSequence(turn=False, joint=4)(dict(results))['keypoint']
    np.testing.assert_allclose(other, keypoint - keypoint[0, 0, 4], atol=1e-4)
    with pytest.raises(UserError, match='joint is 15, but layout sbu15 has the joints 0 to 14'):
        AlignSequence(turn=False, joint=15)(dict(results))
    with pytest.raises(UserError, match='needs clips of 3 coordinates'):
        AlignSequence()(dict(results))


def test_with_the_origin_in_the_middle_persons_can_be_exchanged():
    results = sample(persons=2)
    swapped = dict(results, keypoint=results['keypoint'][::-1].copy())
    out = run(AlignSequence(turn=False, middle=True), results)['keypoint']
    np.testing.assert_allclose(run(AlignSequence(turn=False, middle=True), swapped)['keypoint'], out[::-1], atol=1e-6)
    np.testing.assert_allclose(out[:, 0, results['layout'].hip].mean(0), 0, atol=1e-6)
    results['keypoint'][1] = 0  # for a single person, the midpoint is the person
    np.testing.assert_array_equal(run(AlignSequence(turn=False, middle=True), results)['keypoint'],
                                  run(AlignSequence(turn=False), results)['keypoint'])


def test_sequence_is_rigid_and_does_not_depend_on_the_place_of_the_camera():
    results = sample(seed=4)
    out = run(AlignSequence(), results)['keypoint'].astype(np.float64)
    between = results['keypoint'][1] - results['keypoint'][0]
    np.testing.assert_allclose(np.linalg.norm(out[1] - out[0], axis=-1), np.linalg.norm(between, axis=-1), atol=1e-5)
    shifted = dict(results, keypoint=results['keypoint'] + np.float32([.5, -.2, 1.]))
    np.testing.assert_allclose(run(AlignSequence(), shifted)['keypoint'], out, atol=1e-5)


def test_persons_are_taken_in_file_order_or_by_energy():
    results = sample(persons=3, frames=5)
    still = np.repeat(results['keypoint'][:1, :1], 5, 1)
    fast = results['keypoint'][2:] * 3
    results['keypoint'] = np.concatenate((still, results['keypoint'][1:2], fast))
    first = run(SelectPersons(2), results)['keypoint']
    np.testing.assert_array_equal(first, results['keypoint'][:2])
    movers = run(SelectPersons(2, by='energy'), results)['keypoint']
    np.testing.assert_array_equal(movers, results['keypoint'][[2, 1]])
    padded = run(SelectPersons(5), results)['keypoint']
    assert padded.shape[0] == 5 and not padded[3:].any() and padded.dtype == np.float32
    np.testing.assert_array_equal(padded[:3], results['keypoint'])
    with pytest.raises(UserError, match='energy'):
        SelectPersons(2, by='size')


@pytest.mark.parametrize('count', [1, 2, 3])
def test_a_person_who_is_never_there_is_passed_over(count):
    """As where a tracker keeps a place for someone who is in another part of the recording."""
    results = sample(persons=3, frames=5)
    results['keypoint'][0] = 0
    expected = np.concatenate([results['keypoint'][1:], results['keypoint'][:1]])[:count]
    np.testing.assert_array_equal(run(SelectPersons(count), results)['keypoint'], expected)
    clips = ClipBatch(torch.from_numpy(results['keypoint']).permute(3, 1, 2, 0)[None], get_layout('ntu25'),
                      torch.tensor([5]))
    made = SelectPersons(count).batch(clips).x
    np.testing.assert_array_equal(made[0].permute(3, 1, 2, 0).numpy(), expected)


@pytest.mark.parametrize('frames', [10, 17, 30])
def test_pad(frames):
    results = sample(frames=17)
    out = run(PadFrames(frames), results)
    assert out['keypoint'].shape[1] == frames == out['total_frames'] and out['num_frames'] == min(17, frames)
    kept = min(17, frames)
    np.testing.assert_array_equal(out['keypoint'][:, :kept], results['keypoint'][:, :kept])
    assert not out['keypoint'][:, kept:].any()


def test_pad_counts_up_to_the_last_frame_with_a_body():
    """A gap inside a clip counts as part of the clip; trailing zeros do not."""
    results = sample(frames=12)
    results['keypoint'][:, 3:6] = 0
    results['keypoint'][:, 9:] = 0
    for frames, real in ((20, 9), (12, 9), (8, 8), (5, 3)):
        out = run(PadFrames(frames), results)
        assert out['num_frames'] == real and out['keypoint'].shape[1] == frames
        np.testing.assert_array_equal(out['keypoint'][:, :real], results['keypoint'][:, :real])
    results['keypoint'][1, 10, 7, 2] = 1e-3  # any joint of any person counts
    assert run(PadFrames(20), results)['num_frames'] == 11


@pytest.mark.parametrize('frames', [4, 20])
def test_pad_refuses_a_clip_without_a_body(frames):
    results = sample()
    results['keypoint'][:, :frames] = 0
    with pytest.raises(UserError, match=f'sample clip7: no body in its first {frames} frames'):
        run(PadFrames(frames), results)


@pytest.mark.parametrize('limit', [.95, 2.])
def test_fit_range_scales_a_clip_by_one_factor(limit):
    results = sample()
    results['keypoint'][1, 5, 3, 0] = -8  # the largest, and negative
    out = run(FitRange(limit), results)['keypoint']
    assert out.dtype == np.float32 and out[1, 5, 3, 0] == pytest.approx(-limit)
    np.testing.assert_allclose(out, results['keypoint'] * limit / 8, rtol=1e-6)


def test_fit_range_of_nothing():
    results = sample()
    results['keypoint'][:] = 0
    assert not run(FitRange(), results)['keypoint'].any()
    for limit in (0, -1.):
        with pytest.raises(UserError, match='limit must be positive'):
            FitRange(limit)


def test_pack():
    results = sample(frames=9)
    out = run(PackSkeleton(), results)
    assert out['inputs'].shape == (3, 9, 25, 2) and out['inputs'].dtype == np.float32 and out['num_frames'] == 9
    for person, frame, joint, axis in ((0, 3, 7, 1), (1, 8, 24, 2), (0, 0, 0, 0)):
        assert out['inputs'][axis, frame, joint, person] == results['keypoint'][person, frame, joint, axis]
    assert run(PackSkeleton(), dict(results, num_frames=40))['num_frames'] == 9


def pose(frames=12):
    """A body with COCO joints in pixels, (1, T, 17, 2), that walks to the right."""
    body = np.random.default_rng(0).uniform(-60, 60, (17, 2)) + (400, 300)
    return (body + 5 * np.arange(frames)[:, None, None] * (1, 0)).astype(np.float32)[None]


def test_what_a_pose_estimator_did_not_see_stays_at_the_origin():
    whole = dict(keypoint=pose(), total_frames=12, frame_dir='clip7', layout=get_layout('coco17'))
    seen = run(AlignSequence(turn=False), whole)['keypoint']
    gaps = {**whole, 'keypoint': whole['keypoint'].copy()}
    gaps['keypoint'][0, 3:6, 9] = 0  # a wrist
    made = run(AlignSequence(turn=False), gaps)['keypoint']
    assert (made[0, 3:6, 9] == 0).all() and (seen[0, 3:6, 9] != 0).all()
    made[0, 3:6, 9] = seen[0, 3:6, 9]
    np.testing.assert_array_equal(made, seen)
    scales = [run(FitRange(), dict(keypoint=clip))['keypoint'].std() for clip in (seen, made)]
    assert scales[0] == pytest.approx(scales[1])


def test_a_hip_that_is_seen_late_is_the_origin():
    hip = get_layout('coco17').hip
    clip = dict(keypoint=pose(), total_frames=12, frame_dir='clip7', layout=get_layout('coco17'))
    clip['keypoint'][0, :2, hip] = 0
    made = run(AlignSequence(turn=False), clip)['keypoint']
    assert (made[0, 2, hip] == 0).all()
    np.testing.assert_allclose(made[0, 0, 5], clip['keypoint'][0, 0, 5] - clip['keypoint'][0, 2, hip], atol=1e-4)


def test_who_leaves_does_not_count_as_moving():
    walks, sits = pose(40)[0], np.repeat(pose(1)[0], 40, 0)
    sits[30:] = 0  # leaves: with the zero frames this would be the largest movement
    out = run(SelectPersons(1, by='energy'), dict(keypoint=np.stack([sits, walks, np.zeros_like(walks)])))
    np.testing.assert_array_equal(out['keypoint'][0], walks)
