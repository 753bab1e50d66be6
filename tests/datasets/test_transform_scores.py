"""Scores pass through the transforms together with their joints."""
import numpy as np
import pytest

from mmskelssl.datasets.skeleton_dataset import SkeletonDataset
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.datasets.transforms import (
    AlignSequence,
    Center,
    FillUnseen,
    FitRange,
    PackSkeleton,
    PadFrames,
    PreNormalize3D,
    ResizeFrames,
    SelectPersons,
)
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout


def sample(channels=2, persons=2, frames=9, layout='coco17'):
    """The first coordinate of each joint is its score, so a score that loses its joint is noticed."""
    rng, layout = np.random.default_rng(0), get_layout(layout)
    keypoint = rng.uniform(.1, 1, (persons, frames, layout.num_joints, channels)).astype(np.float32)
    keypoint[1] *= 3  # moves most
    return dict(keypoint=keypoint, scores=keypoint[..., 0].copy(), total_frames=frames, frame_dir='clip7',
                layout=layout)


@pytest.mark.parametrize('step', [
    SelectPersons(3), SelectPersons(1, 'energy'), SelectPersons(2, 'energy'), ResizeFrames(5), ResizeFrames(20),
    PadFrames(5), PadFrames(20)], ids=lambda step: f'{type(step).__name__}-{list(vars(step).values())}')
def test_a_score_stays_with_its_joint(step):
    results = sample()
    given = results['scores'].copy()
    made = step(dict(results))
    np.testing.assert_array_equal(made['scores'], made['keypoint'][..., 0])
    np.testing.assert_array_equal(results['scores'], given)


@pytest.mark.parametrize('step', [Center(), AlignSequence(turn=False), FitRange(), FillUnseen()])
def test_other_steps_leave_the_scores(step):
    results = sample()
    np.testing.assert_array_equal(step(dict(results))['scores'], results['scores'])


def test_alignment_weighs_the_scores():
    results = sample()
    hip = results['layout'].hip
    for step in (Center(hip), AlignSequence(turn=False)):
        wild = {**results, 'keypoint': results['keypoint'].copy(), 'scores': results['scores'].copy()}
        wild['scores'][:, 0, hip] = 0
        wild['keypoint'][:, 0, hip] = 77
        np.testing.assert_allclose(step(wild)['keypoint'][0, 0, 5], results['keypoint'][0, 0, 5]
                                   - results['keypoint'][0, 1, hip], rtol=1e-6)


def test_pre_normalize():
    """The second person is seen longer and comes first, and the first frame shows only some of its joints."""
    results = sample(3, layout='ntu25')
    results['keypoint'][0, 2:4] = results['scores'][0, 2:4] = 0
    results['keypoint'][1, 8] = results['scores'][1, 8] = 0
    made = PreNormalize3D(align_centre=False, align_spine=False)(dict(results))
    np.testing.assert_array_equal(made['scores'], made['keypoint'][..., 0])
    assert made['scores'].shape == (2, 8, 25)
    centre, wild = 1, {**results, 'keypoint': results['keypoint'].copy(), 'scores': results['scores'].copy()}
    wild['scores'][1, 0, centre] = 0
    wild['keypoint'][1, 0, centre] = 77
    expected = results['keypoint'][1, 1, centre]
    np.testing.assert_allclose(PreNormalize3D()(wild)['body_center'], expected, rtol=1e-6)


def test_pack_appends_them():
    results = sample()
    packed = PackSkeleton(scores=True)(dict(results))
    assert packed['inputs'].shape == (3, 9, 17, 2) and packed['inputs'].dtype == np.float32
    np.testing.assert_array_equal(packed['inputs'][2], packed['inputs'][0])
    np.testing.assert_array_equal(PackSkeleton()(dict(results))['inputs'], packed['inputs'][:2])
    with pytest.raises(UserError, match='clip7: there are no scores, but data.scores is True'):
        PackSkeleton(scores=True)({key: value for key, value in results.items() if key != 'scores'})
    with pytest.raises(UserError, match=r'scores of shape \(2, 9, 17\) for keypoints of shape \(2, 5, 17, 2\)'):
        Center()({**results, 'keypoint': results['keypoint'][:, :5]})


def test_the_data_set_gives_them(tmp_path):
    rng = np.random.default_rng(0)
    clips = [(rng.uniform(1, 2, (1, 6 + i, 17, 2)), rng.uniform(0, 1, (1, 6 + i, 17))) for i in range(3)]
    for name in ('with', 'without'):
        with StoreWriter(tmp_path / name, 'coco17', 2, scores=name == 'with') as writer:
            for i, (keypoints, scores) in enumerate(clips):
                writer.add(f's{i}', keypoints, 0, scores=scores if name == 'with' else None)
    steps = [dict(type='SelectPersons', max_persons=1), dict(type='ResizeFrames', frames=6), dict(type='PackSkeleton')]
    store = str(tmp_path / 'with')
    plain, made = SkeletonDataset(store, 'all', steps), SkeletonDataset(store, 'all', steps, scores=True)
    assert plain[1]['inputs'].shape == (2, 6, 17, 1) and made[1]['inputs'].shape == (3, 6, 17, 1)
    np.testing.assert_array_equal(made[0]['inputs'][:2], plain[0]['inputs'])
    np.testing.assert_allclose(made[0]['inputs'][2, :, :, 0], SkeletonStore(store).scores(0)[0])
    assert 'scores' not in steps[-1]
    with pytest.raises(UserError, match=r'data\.scores is True, but .*without has no scores: import data with scores'):
        SkeletonDataset(str(tmp_path / 'without'), 'all', steps, scores=True)
    with pytest.raises(UserError, match='data.scores is 1; it must be True or False'):
        SkeletonDataset(store, 'all', steps, scores=1)
    with pytest.raises(UserError, match='PackSkeleton.scores follows from data.scores'):
        SkeletonDataset(store, 'all', [*steps[:-1], dict(type='PackSkeleton', scores=True)])
    with pytest.raises(UserError, match='needs a data.pipeline that ends with'):
        SkeletonDataset(store, 'all', steps[:-1], scores=True)
