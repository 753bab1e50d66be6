"""Tracking of persons: crossings, gaps, arrivals and departures."""
import numpy as np
import pytest

from mmskelssl.datasets.pose_tracking import PATIENCE, track_persons

SHAPE = np.random.default_rng(0).uniform(0, 100, (17, 2))


def body(x, y=0., score=.9, drop=()):
    """A person (17,3) of size 100 or so at (x, y)."""
    joints = np.concatenate([SHAPE + (x, y) + 1, np.full((17, 1), score)], 1)
    joints[list(drop)] = 0
    return joints


def frames_of(*people):
    return [np.array([person for person in frame if person is not None]).reshape(-1, 17, 3) for frame in people]


def test_order_in_the_frame_does_not_matter():
    rng = np.random.default_rng(1)
    left, right = [body(t, score=.5) for t in range(40)], [body(400 - t) for t in range(40)]
    frames = [np.array([left[t], right[t]])[rng.permutation(2)] for t in range(40)]
    got = track_persons(frames, 2, scores=True).keypoints
    np.testing.assert_allclose(got, np.stack([right, left]), rtol=1e-6)  # the more certain one first
    assert track_persons(frames, 1, scores=True).keypoints.shape == (1, 40, 17, 3)
    assert track_persons(frames, 5, scores=True).keypoints.shape == (2, 40, 17, 3)


def test_passing_persons_keep_their_place():
    """They pass each other at different heights, closer than their size."""
    one, two = [body(10 * t, 0) for t in range(30)], [body(300 - 10 * t, 60, .8) for t in range(30)]
    frames = [np.array([one[t], two[t]] if t % 2 else [two[t], one[t]]) for t in range(30)]
    np.testing.assert_allclose(track_persons(frames, 2, scores=True).keypoints, np.stack([one, two]), rtol=1e-6)


@pytest.mark.parametrize('gap, persons', [(1, 2), (PATIENCE, 2), (PATIENCE + 1, 3)])
def test_a_person_who_is_lost_for_a_while(gap, persons):
    frames = frames_of([body(0), body(900)], *[[]] * gap, [body(5)])
    got = track_persons(frames, 3, scores=True).keypoints
    assert got.shape == (persons, gap + 2, 17, 3) and not got[:, 1:-1].any()
    np.testing.assert_allclose(got[:, -1].sum(0), body(5), rtol=1e-6)


def test_one_person_at_a_time_is_the_same_person():
    """Regardless of gap and jump, nothing in the data indicates another person."""
    frames = [body(0)[None], *[np.zeros((0, 17, 3))] * (PATIENCE + 9), body(900)[None], body(1)[None]]
    got, notes = track_persons(frames, 2, scores=True)
    assert got.shape == (1, PATIENCE + 12, 17, 3) and not notes
    np.testing.assert_allclose(got[0, [0, -2, -1]], [body(0), body(900), body(1)], rtol=1e-6)


def test_what_is_left_out_is_counted():
    frames = frames_of(*[[body(0), body(900), body(1800)]] * 3)
    assert track_persons(frames, 1, scores=True).notes == ['2 further persons dropped, 6 detections (--persons)']
    crowd = frames_of([body(300 * i) for i in range(40)])
    assert '8 detections dropped in frames with more than 32 persons' in track_persons(crowd, 40, True).notes


def test_identities_decide_unless_they_are_not_unique():
    frames = frames_of([body(0), body(900)], [body(900), body(0)])
    got = track_persons(frames, 2, scores=True, ids=[['a', 'b'], ['a', 'b']])
    np.testing.assert_allclose(got.keypoints[0], [body(0), body(900)], rtol=1e-6)
    got = track_persons(frames, 2, scores=True, ids=[['a', 'a'], ['a', 'a']])
    np.testing.assert_allclose(got.keypoints[0], [body(0), body(0)], rtol=1e-6)
    assert 'not unique' in got.notes[0]


def test_somebody_far_away_is_somebody_else():
    frames = frames_of([body(0)], [body(0), body(900)], [body(900)], [body(1)])
    got = track_persons(frames, 2, scores=True).keypoints
    assert [tuple(person.any((1, 2))) for person in got] == [(True, True, False, True), (False, True, True, False)]


def test_hidden_joints_neither_count_nor_disturb():
    frames = frames_of([body(0, drop=range(8))], [body(2, drop=range(8, 12))], [body(4, drop=range(17))], [body(4)])
    got = track_persons(frames, 2, scores=True).keypoints
    assert len(got) == 1 and not got[0, 2].any()  # a person without visible joints is dropped
    apart = track_persons(frames_of([body(0, drop=range(8))], [body(0, drop=range(8, 17))]), 2, scores=True)
    assert len(apart) == 2  # no common joints, so no match


def test_three_coordinates_without_scores():
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(33, 3)), rng.normal(size=(33, 3)) + 5
    frames = [np.stack([one + .01 * t, two][::1 if t % 2 else -1]) for t in range(6)]
    got = track_persons(frames, 2, scores=False).keypoints
    np.testing.assert_allclose(got[0 if abs(got[0, 0] - one).max() < 1e-5 else 1, 5], one + .05, rtol=1e-5)


def test_greedy_takes_the_nearest_pair_first():
    """The nearest pair is matched first, then the rest, even if other pairs have a smaller total distance."""
    far = .45 * np.linalg.norm(np.ptp(SHAPE, axis=0))
    got = track_persons(frames_of([body(0), body(40)], [body(35), body(far)]), 2, scores=True).keypoints
    assert {round(float(person[0, 0, 0] - SHAPE[0, 0] - 1)): round(float(person[1, 0, 0] - SHAPE[0, 0] - 1))
            for person in got} == {40: 35, 0: round(float(far))}


def test_nobody_at_all():
    for frames in ([], [np.zeros((0, 17, 3))] * 3, [np.zeros((2, 17, 3))]):
        with pytest.raises(ValueError, match='no frame shows a person'):
            track_persons(frames, 2, scores=True)
