"""verify --near: the same movement with another length, position, size or cut."""
import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.mocap import resample
from mmskelssl.datasets.store.near import LIMIT, distance, near_duplicates
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip

LAYOUT = get_layout('kinect20')


def clip_of(seed: int, persons: int = 1, frames: int = 40) -> np.ndarray:
    return random_clip(np.random.default_rng(seed), LAYOUT, persons, frames, seed % 4)


def stretched(clip: np.ndarray, factor: float) -> np.ndarray:
    return np.stack([resample(person, 30, 30 * factor) for person in clip])


CHANGES = {
    'nothing': lambda clip: clip,
    'slower': lambda clip: stretched(clip, 1.6),
    'faster': lambda clip: stretched(clip, .6),
    'elsewhere': lambda clip: clip + np.float32([3, -1, 8]),
    'larger': lambda clip: clip * np.float32(1000),
    'cut at the start': lambda clip: clip[:, 5:],
    'cut at the end': lambda clip: clip[:, :35],
    'noisy': lambda clip: clip + np.random.default_rng(0).normal(0, .002, clip.shape).astype(np.float32),
    'all at once': lambda clip: stretched(clip[:, 4:], .8) * 2 - 1,
    'with empty frames around it': lambda clip: np.pad(clip, ((0, 0), (3, 2), (0, 0), (0, 0)))}


@pytest.mark.parametrize('change', sorted(CHANGES))
@pytest.mark.parametrize('persons', [1, 2])
def test_the_same_movement_is_near_and_another_is_not(change, persons):
    clips = [clip_of(seed, persons) for seed in range(6)]
    for clip in clips:
        changed = CHANGES[change](clip).astype(np.float32)
        assert distance(clip, changed) < LIMIT and distance(changed, clip) == pytest.approx(distance(clip, changed))
        assert min(distance(other, changed) for other in clips if other is not clip) > 3 * LIMIT


def test_what_cannot_be_compared():
    assert distance(clip_of(0), clip_of(0, 2)) == distance(clip_of(0)[:, :4], clip_of(0)[:, :4]) == np.inf
    assert distance(np.zeros((1, 9, 20, 3)), clip_of(0)) == np.inf
    assert distance(np.ones((1, 9, 20, 3)), clip_of(0)) == pytest.approx(1)  # a point: nothing to scale


def test_planted_duplicates_are_found_across_splits(tmp_path):
    """The search compares few pairs but finds every changed clip, as a comparison of all pairs does."""
    with StoreWriter(tmp_path / 's', LAYOUT) as writer:
        for seed in range(12):
            writer.add(f'train{seed}', clip_of(seed))
        for i, (name, change) in enumerate(sorted(CHANGES.items())):
            writer.add(name, change(clip_of(i)))
        writer.add('new', clip_of(99))
        writer.add('two persons', clip_of(0, 2))
        writer.add('short', clip_of(1)[:, :3])
        writer.set_split('train', [f'train{seed}' for seed in range(12)])
        writer.set_split('test', [*sorted(CHANGES), 'new', 'two persons', 'short'])
    store = SkeletonStore(tmp_path / 's')
    found = near_duplicates(store, store.split('test'), store.split('train'))
    assert {(store.ids[near.sample], store.ids[near.other]) for near in found} == {
        (name, f'train{i}') for i, name in enumerate(sorted(CHANGES))}
    assert [near.distance for near in found] == sorted(near.distance for near in found)
    for near in found:
        assert near.distance == distance(store.keypoints(near.sample), store.keypoints(near.other))
    assert not near_duplicates(store, store.split('test')[-3:], store.split('train'))
    fault = next(fault for fault in verify(store.path, near=LIMIT) if 'near' in fault.what)
    assert not fault.fatal and len(fault.samples) == len(CHANGES) and "10 of 13 samples of 'test'" in fault.what
    assert fault.samples[0].startswith(('nothing like train', 'elsewhere like train', 'larger like train'))
    assert not [fault for fault in verify(store.path) if 'near' in fault.what]
    for limit in (0, 1, -1):
        with pytest.raises(UserError, match='above 0 and below 1'):
            verify(store.path, near=limit)


def test_a_store_without_splits_is_searched_as_a_whole(tmp_path):
    with StoreWriter(tmp_path / 's', LAYOUT) as writer:
        for name, clip in (('a', clip_of(0)), ('b', clip_of(1)), ('c', stretched(clip_of(0), .7))):
            writer.add(name, clip)
    fault = next(fault for fault in verify(str(tmp_path / 's'), near=LIMIT) if 'near' in fault.what)
    assert '2 of 3 samples move like another one' in fault.what
    assert {text.rsplit(',', 1)[0] for text in fault.samples} == {'a like c', 'c like a'}
