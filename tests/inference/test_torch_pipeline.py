"""The torch pipeline of exported models prepares clips as the transforms do, for the pipelines of all configs."""
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmskelssl.datasets.preprocessing import build_transform, run_transform
from mmskelssl.errors import UserError
from mmskelssl.inference.pipeline import TorchPipeline
from mmskelssl.layouts import get_layout
from mmskelssl.shipped import shipped_bases, shipped_configs
from tests.conftest import random_clip

LAYOUT = get_layout('ntu25')
PACK = dict(type='PackSkeleton')
# Options that no shipped config uses.
OTHERS = [
    [dict(type='SelectPersons', max_persons=3, by='energy'), dict(type='Center', joint=4), PACK],
    [dict(type='PadFrames', frames=20), PACK],
    [dict(type='ResizeFrames', frames=7), dict(type='PadFrames', frames=9), PACK],
    [dict(type='AlignSequence', middle=True), dict(type='AlignShoulders'), dict(type='FitRange', limit=2.), PACK],
    [dict(type='AlignSequence', turn=False, joint=4), PACK]]


def pipelines() -> dict[str, list[dict]]:
    """Map the name of a config to its pipeline, once for each different one."""
    found = {}
    with shipped_bases():
        for path in sorted(shipped_configs().glob('*.py')):
            config = Config.fromfile(str(path), lazy_import=False, import_custom_modules=False)
            found.setdefault(json.dumps(config.to_dict()['data']['pipeline']), path.stem)
    return {name: json.loads(steps) for steps, name in found.items()}


def random_clips(count: int, flat: bool):
    """Bodies of one to three persons who come and go, some with joints that are not detected."""
    rng = np.random.default_rng(0)
    for i in range(count):
        persons, frames = int(rng.integers(1, 4)), int(rng.integers(1, 70))
        clip = random_clip(rng, LAYOUT, persons, frames, i % 4)
        clip[rng.random((persons, frames)) < rng.choice([0, .3])] = 0
        clip[rng.random(clip.shape[:3]) < rng.choice([0, .1])] = 0
        yield clip[..., :2].copy() if flat else clip


def compare(steps: list[dict], clips) -> int:
    transform = build_transform(steps)
    pipeline = TorchPipeline(transform.transforms, LAYOUT, 'here')
    compared = 0
    for i, clip in enumerate(clips):
        made, frames = pipeline(torch.from_numpy(clip))
        try:
            expected = run_transform(transform, clip, LAYOUT, 'a', 'a')
        except UserError as error:
            assert 'body' in str(error) and made.isnan().all()
            continue
        assert made.shape[1:] == expected['inputs'].shape and frames.tolist() == [expected['num_frames']], i
        np.testing.assert_allclose(made[0].numpy(), expected['inputs'], rtol=1e-6, atol=1e-6)
        compared += 1
    return compared


@pytest.mark.slow
def test_the_pipelines_of_all_configs():
    found = pipelines()
    assert len(found) >= 9  # different ones
    for name, steps in found.items():
        assert compare(steps, random_clips(25, flat=name == 'skeletonclr_pose2d')) > 20, name


@pytest.mark.parametrize('steps', OTHERS)
def test_other_options(steps):
    assert compare(steps, random_clips(25, flat=False)) > 20


def test_clips_without_a_body():
    for steps in ([dict(type='ResizeFrames', frames=4), PACK], [dict(type='PadFrames', frames=4), PACK]):
        late = np.zeros((1, 9, 25, 3), np.float32)
        late[0, 7] = 1  # after the frames that PadFrames keeps
        assert compare(steps, [np.zeros((2, 5, 25, 3), np.float32)]) == 0
        assert compare(steps, [late]) == (steps[0]['type'] == 'ResizeFrames')


@pytest.mark.parametrize('step', [dict(type='PreNormalize3D'), dict(type='FillUnseen')])
def test_a_step_without_a_counterpart_is_refused(step):
    message = rf'here: its pipeline has the step {step["type"]}, which cannot be exported; .* without --whole'
    with pytest.raises(UserError, match=message):
        TorchPipeline(build_transform([step, PACK]).transforms, LAYOUT, 'here')
