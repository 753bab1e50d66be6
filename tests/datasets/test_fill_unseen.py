"""FillUnseen against the definition, by hand and through a store's pipeline."""
import numpy as np
import pytest

from mmskelssl.datasets import SkeletonDataset, StoreWriter
from mmskelssl.datasets.transforms import FillUnseen
from mmskelssl.errors import UserError


def sample(track, scores=None, **more):
    """One person of two joints: the first follows ``track`` (T, C), the second stays at (9, 9, ...)."""
    track = np.array(track, np.float32)
    keypoint = np.stack([track, np.full_like(track, 9)], 1)[None]
    if scores is not None:
        more['scores'] = np.stack([np.array(scores, np.float32), np.ones(len(track), np.float32)], 1)[None]
    return dict(keypoint=keypoint, frame_dir='clip7', **more)


@pytest.mark.parametrize('scores, expected', [
    ([.9, 0, 0, .8, 0], [[1, 2], [3, 4], [5, 6], [7, 8], [7, 8]]),
    ([0, .3, 1, 0, 0], [[50, 0], [50, 0], [0, 50], [0, 50], [0, 50]]),
    (None, [[1, 2], [50, 0], [0, 50], [7, 8], [7, 8]]),          # without scores: at the origin
    ([0, 0, 0, 0, 0], [[1, 2], [50, 0], [0, 50], [7, 8], [0, 0]])])  # never seen: unchanged
def test_gaps_between_seen_frames(scores, expected):
    given = sample([[1, 2], [50, 0], [0, 50], [7, 8], [0, 0]], scores)
    before = given['keypoint'].copy()
    made = FillUnseen().transform(dict(given))
    np.testing.assert_allclose(made['keypoint'][0, :, 0], expected)
    assert (made['keypoint'][0, :, 1] == 9).all() and made.get('scores') is given.get('scores')
    np.testing.assert_array_equal(given['keypoint'], before)


def test_a_threshold_and_frames_without_the_person():
    made = FillUnseen(score=.3).transform(sample([[0.], [4], [8]], [.9, .3, .9]))
    np.testing.assert_allclose(made['keypoint'][0, :, 0, 0], [0, 4, 8])
    absent = sample([[1., 1], [0, 0], [5, 5]], [1, 0, 1])
    absent['keypoint'][0, 1] = 0
    assert not FillUnseen().transform(absent)['keypoint'][0, 1].any()
    with pytest.raises(UserError, match='needs a store with scores'):
        FillUnseen(score=.3).transform(sample([[0., 1]]))
    with pytest.raises(UserError, match='put FillUnseen first in data.pipeline'):
        FillUnseen().transform(sample([[0., 1]]) | dict(scores=np.ones((2, 1, 2))))
    with pytest.raises(UserError, match='score must be a non-negative number'):
        FillUnseen(score=-1)


def test_the_pipeline_of_a_store_with_scores(tmp_path):
    rng = np.random.default_rng(0)
    clip, scores = rng.uniform(1, 2, (1, 6, 17, 2)), np.ones((1, 6, 17))
    clip[0, 2, 3], scores[0, 2, 3] = 99, 0
    with StoreWriter(tmp_path / 's', 'coco17', 2, scores=True) as writer:
        writer.add('a', clip, 0, scores=scores)
    steps = [dict(type='SelectPersons', max_persons=1), dict(type='PackSkeleton')]
    plain = SkeletonDataset(str(tmp_path / 's'), 'all', steps)[0]['inputs']
    filled = SkeletonDataset(str(tmp_path / 's'), 'all', [dict(type='FillUnseen'), *steps])[0]['inputs']
    np.testing.assert_allclose(plain[:, 2, 3, 0], 99)
    np.testing.assert_allclose(filled[:, 2, 3, 0], clip[0, [1, 3], 3].mean(0), rtol=1e-6)
