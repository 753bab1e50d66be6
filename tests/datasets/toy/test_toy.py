"""The toy data: constant bodies, motions that match their class, and a task of moderate difficulty."""
import numpy as np
import pytest

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.toy.store import ACTIONS, make_sample, write_toy_store
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

LAYOUT = get_layout('ntu25')
FEET = [15, 19]
STANDING = [a for a in ACTIONS if a not in ('kick', 'jump', 'hop', 'walk')]


def clip(action, seed=0, subject=3, camera=2, noise=0.):
    return make_sample(np.random.default_rng([seed, 7]), ACTIONS.index(action), subject, camera, noise)


def bone_lengths(person):
    child, parent = np.array(LAYOUT.bones).T
    return np.linalg.norm(person[:, child] - person[:, parent], axis=-1)


def test_the_seed_decides_everything():
    np.testing.assert_array_equal(clip('wave', 4, noise=1), clip('wave', 4, noise=1))
    assert not np.array_equal(clip('wave', 4)[0, 0], clip('wave', 5)[0, 0])


@pytest.mark.parametrize('action', ACTIONS)
def test_a_body_holds_together(action):
    for seed in range(6):
        keypoints = clip(action, seed, subject=seed + 1, camera=seed % 3 + 1)
        persons, frames, joints, channels = keypoints.shape
        assert (joints, channels, keypoints.dtype) == (25, 3, np.float32)
        assert 30 <= frames <= 120 and persons == (2 if action in ('handshake', 'push') else 1)
        assert np.isfinite(keypoints).all()
        for person in keypoints:
            assert bone_lengths(person).std(axis=0).max() < 1e-5
            start = person[0, :, 1]
            assert start[3] > start[2] > start[0] > start[FEET].max()  # head, neck, hips, feet
            speed = np.linalg.norm(np.diff(person, axis=0), axis=-1) * 30
            assert speed.max() < 20, 'metres a second: nobody is faster'


def test_subjects_differ_and_stay_themselves():
    lengths = [bone_lengths(clip('bow', seed, subject)[0])[0] for subject in (1, 2) for seed in (0, 1)]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-5)
    assert np.abs(lengths[0] - lengths[2]).max() > .005


@pytest.mark.parametrize('action', STANDING)
def test_feet_stay_near_the_floor(action):
    for seed in range(5):
        for person in clip(action, seed, subject=seed + 1):
            feet = person[:, FEET, 1] - person[..., 1].min()
            assert feet.max() < .22  # a step lifts only a foot
            assert np.quantile(feet.min(axis=1), .9) < .03  # and one foot carries the body


@pytest.mark.parametrize('limb', [(12, 13, 14), (16, 17, 18)])
def test_knees_bend_forward(limb):
    person = clip('sit_down', 1)[0]
    hip, knee, ankle = (person[:, j] for j in limb)
    toes = person[:, limb[2] + 1] - ankle
    offset = knee - (hip + ankle) / 2
    assert (np.sum(offset * toes * (1, 0, 1), axis=-1)[-5:] > 0).all()


def test_motions_are_what_they_say():
    def travel(action, joint, axis):
        return np.median([np.ptp(clip(action, seed)[0, :, joint, axis]) for seed in range(8)])

    assert travel('sit_down', 0, 1) > .3 > travel('wave', 0, 1)
    assert travel('bow', 3, 1) > .25 > travel('drink', 3, 1)
    assert travel('jump', 15, 1) > .12 > travel('clap', 15, 1)
    assert np.median([np.linalg.norm(np.ptp(clip('walk', s)[0, :, 0][:, [0, 2]], axis=0)) for s in range(8)]) > .3

    def hands(action):
        return np.median([np.linalg.norm(clip(action, s)[0, :, 7] - clip(action, s)[0, :, 11], axis=-1).min()
                          for s in range(8)])
    assert hands('clap') < .15 < hands('kick')


@pytest.mark.parametrize('action', ['handshake', 'push'])
def test_two_persons_face_each_other(action):
    for seed in range(6):
        keypoints = clip(action, seed, subject=seed + 1)
        between = (keypoints[1, 0, 0] - keypoints[0, 0, 0])[[0, 2]]
        assert .7 < np.linalg.norm(between) < 1.5
        for person, sign in zip(keypoints, (1, -1), strict=True):
            ahead = (person[0, FEET] - person[0, [14, 18]]).mean(0)[[0, 2]]
            assert sign * ahead @ between > 0
        if action == 'handshake':
            assert np.linalg.norm(keypoints[0, :, 11] - keypoints[1, :, 11], axis=-1).min() < .2


def test_raw_coordinates_tell_something_but_not_all():
    """1-NN across subjects on root-centred, shoulder-aligned frames. The first frame alone is hardly informative."""
    features, first, labels, subjects = [], [], [], []
    for index in range(640):
        rng = np.random.default_rng([1, index])
        action, subject = index % len(ACTIONS), index // len(ACTIONS) % 20 + 1
        keypoints = make_sample(rng, action, subject, int(rng.integers(1, 4)))
        keypoints = keypoints[0, np.linspace(0, keypoints.shape[1] - 1, 30).round().astype(int)]
        keypoints = keypoints - keypoints[:, 1:2]
        across = keypoints[:, 8] - keypoints[:, 4]
        turn = np.exp(-1j * np.arctan2(across[:, 2], across[:, 0]))[:, None] * (
            keypoints[..., 0] + 1j * keypoints[..., 2])
        aligned = np.stack([turn.real, keypoints[..., 1], turn.imag], axis=-1)
        features.append(aligned.ravel())
        first.append(aligned[0].ravel())
        labels.append(action)
        subjects.append(subject)
    labels, train = np.array(labels), np.array(subjects) % 2 == 1

    def nearest(rows):
        rows = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.mean(labels[train][(rows[~train] @ rows[train].T).argmax(1)] == labels[~train])

    assert .3 < nearest(features) < .8
    assert nearest(first) < .25


def test_store_is_deterministic_and_its_splits_leak_free(tmp_path):
    paths = [write_toy_store(tmp_path / name, num_samples=64, seed=3, subjects=4) for name in ('a', 'b')]
    files = [{name: (tmp_path / folder / name).read_bytes() for name in ('keypoints.npy', 'index.json')}
             for folder in ('a', 'b')]
    assert files[0] == files[1]
    store = SkeletonStore(paths[0])
    assert len(store) == 64 and store.classes == list(ACTIONS) and set(store.labels) == set(range(len(ACTIONS)))
    for sample in store.samples:
        assert sample['id'] == (f'S001C{sample["camera"]:03d}P{sample["subject"]:03d}{sample["id"][12:16]}'
                                f'A{sample["label"] + 1:03d}')

    def values(split, key):
        return {store.samples[i][key] for i in store.split(split)}
    assert values('train', 'subject') == {1, 3} and values('test', 'subject') == {2, 4}
    assert values('xview_train', 'camera') == {2, 3} and values('xview_test', 'camera') == {1}
    assert store.splits['train'] == store.splits['xsub_train'] and store.splits['test'] == store.splits['xsub_test']
    for train, test in (('train', 'test'), ('xview_train', 'xview_test')):
        assert sorted([*store.split(train), *store.split(test)]) == list(range(64))


def test_a_small_store_has_both_halves_of_the_subjects(tmp_path):
    store = SkeletonStore(write_toy_store(tmp_path / 's', num_samples=16))
    assert len(store.split('train')) == len(store.split('test')) == 8
    with pytest.raises(UserError, match='exists'):
        write_toy_store(tmp_path / 's', num_samples=16)
    other = SkeletonStore(write_toy_store(tmp_path / 's', num_samples=16, seed=1, overwrite=True))
    assert other.data_hash != store.data_hash


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match='action 99'):
        make_sample(np.random.default_rng(0), 99, 1, 1)
    with pytest.raises(UserError, match='camera 4'):
        make_sample(np.random.default_rng(0), 0, 1, 4)
    with pytest.raises(UserError, match='2 subjects'):
        write_toy_store(tmp_path / 's', num_samples=4, subjects=1)
