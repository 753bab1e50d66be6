"""Scores of joints as a last channel: augmentations change coordinates, and scores stay with their joint and frame."""
import pytest
import torch

from mmskelssl.augment import build_augments, draw_mix, mix, transfer_style
from mmskelssl.layouts import get_layout
from mmskelssl.registry import BATCH_AUGMENTS

MOVING = {'TemporalCrop', 'TimeReverse', 'Interpolate', 'CropResize', 'SpatialFlip', 'SwapParts'}
SPATIAL = ['AxisMask', 'CoordinateDropout', 'GaussianBlur', 'GaussianNoise', 'JointMask', 'LinearJitter', 'Rescale',
           'Scale', 'Shear']
ONLY_3D = ['Rotate', 'TiltRotate', 'YawRotate']
SETTINGS = dict(SpatialFlip=dict(mirror=True))
LAYOUT = get_layout('coco17')


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(channels=2, n=6):
    x = torch.randn(n, channels, 24, 17, 2, generator=generator(9))
    return x, torch.rand(n, 1, 24, 17, 2, generator=generator(8))


def build(name, **options):
    return build_augments([dict(type=name, **SETTINGS.get(name, {}), **options)], LAYOUT)[0]


def test_the_table_is_complete():
    ours = {name for name, kind in BATCH_AUGMENTS.module_dict.items() if kind.__module__.startswith('mmskelssl.')}
    assert ours == {*MOVING, *SPATIAL, *ONLY_3D, 'PickPerson'}  # the last one: tests/augment/test_persons.py


@pytest.mark.parametrize('p', [.5, 1.])
@pytest.mark.parametrize('name', sorted({*MOVING, *SPATIAL, *ONLY_3D}))
def test_coordinates_do_not_depend_on_the_scores(name, p):
    x, scores = clips(3 if name in ONLY_3D else 2)
    augment, both = build(name, p=p), torch.cat([x, scores], 1)
    before = both.clone()
    made = augment(both, generator(3), 1)
    assert torch.equal(made[:, :-1], augment(x, generator(3))) and torch.equal(both, before)
    if name in MOVING:
        assert not torch.equal(made[:, -1:], scores)
    else:
        assert torch.equal(made[:, -1:], scores)


@pytest.mark.parametrize('name', sorted(MOVING))
def test_a_score_moves_with_its_joint(name):
    """A coordinate that equals the score is still equal to it afterwards. The mirror image negates only the first."""
    _, scores = clips()
    made = build(name, p=1.)(torch.cat([scores + 2, scores, scores], 1), generator(5), 1)
    assert torch.equal(made[:, 1], made[:, 2])


def test_mixing_moves_the_scores_and_style_leaves_them():
    x, scores = clips()
    both = torch.cat([x, scores], 1)
    for kind in ('cutmix', 'resizemix', 'mixup'):
        plan = draw_mix(len(x), 24, len(LAYOUT.parts), generator(1), kind=kind)
        torch.testing.assert_close(mix(both, plan, LAYOUT)[:, -1:], mix(scores, plan, LAYOUT))
    for stream in ('joint', 'bone', 'motion'):
        styled = transfer_style(both, 1, stream, LAYOUT, scores=1)
        assert torch.equal(styled[:, -1:], scores)
        torch.testing.assert_close(styled[:, :-1], transfer_style(x, 1, stream, LAYOUT))
