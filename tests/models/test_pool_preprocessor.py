"""Clips of several layouts in one batch: views of each layout, the union of the joints, and encoders that mask."""
import numpy as np
import pytest
import torch

from mmskelssl.augment import SpatialFlip
from mmskelssl.augment.streams import STREAMS
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.layouts.union import union_layout
from mmskelssl.models.backbones import STGCN, BiGRU, SkeletonViT, TemporalConvNet
from mmskelssl.models.modules.norm import BatchNorm1d, norm_of_shown
from mmskelssl.models.pool_preprocessor import PoolPreprocessor, narrowed_config
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.registry import MODELS

LAYOUTS = ['ntu25', 'kinect20', 'sbu15']
UNION = union_layout(map(get_layout, LAYOUTS))


def clips(persons=(2, 1, 2), frames=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(i + 2, 3, frames, get_layout(name).num_joints, m, generator=generator)
            for i, (name, m) in enumerate(zip(LAYOUTS, persons, strict=True))}


def pool(**options):
    return PoolPreprocessor(UNION, LAYOUTS, num_persons=2, **options)


def batch(x):
    count = sum(map(len, x.values()))
    return dict(inputs=x, data_samples=dict(num_frames=torch.full((count,), 6), index=torch.arange(count)))


def in_union(x: np.ndarray, name: str) -> np.ndarray:
    """Place each joint of clips (N, C, T, V, M) by its name. Add an absent second person."""
    layout = get_layout(name)
    made = np.zeros((*x.shape[:3], UNION.num_joints, 2), x.dtype)
    for canonical, joint in layout.named.items():
        made[:, :, :, UNION.joints.index(canonical), :x.shape[4]] = x[:, :, :, joint]
    return made


def other_side(name: str) -> str:
    for side, other in (('left_', 'right_'), ('right_', 'left_')):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_views_and_streams_follow_each_layout(stream):
    """A mirrored view, then the stream, joint by joint: partners by name, bones from the layout's own tree."""
    x = clips()
    made = pool(stream=stream, views=dict(first=[dict(type='SpatialFlip', p=1., mirror=True)], second=[]))(
        batch(x), True)['inputs']
    start = 0
    for name, given in x.items():
        layout, given = get_layout(name), given.numpy()
        mirrored = np.zeros_like(given)
        for canonical, joint in layout.named.items():
            mirrored[:, :, :, joint] = given[:, :, :, layout.named[other_side(canonical)]]
        mirrored[:, 0] *= -1
        for view, expected in (('first', mirrored), ('second', given)):
            if stream == 'bone':
                expected = np.stack([expected[:, :, :, joint] - expected[:, :, :, parent]
                                     for joint, parent in enumerate(layout.parents)], 3)
            if stream == 'motion':
                expected = np.concatenate([np.diff(expected, axis=2), np.zeros_like(expected[:, :, :1])], 2)
            part = made[view][start:start + len(given)].numpy()
            np.testing.assert_allclose(part, in_union(expected, name), atol=1e-6)
        start += len(given)
    assert start == 9 and made['first'].shape == (9, 3, 6, UNION.num_joints, 2)


def test_parts_follow_each_layout():
    x = {name: part + 5 for name, part in clips().items()}  # without accidental zeros
    swap = dict(type='SwapParts', parts=(2, 2), cells=(1, 1), cell=6, fill='zeros')
    made = pool(views=dict(only=[swap]))(batch(x), True)['inputs']['only']
    start = 0
    for name, given in x.items():
        layout = get_layout(name)
        gone = (made[start, 0, 0, :, 0] == 0).numpy()
        hidden = {part for part, joints in layout.parts.items()
                  if all(gone[UNION.joints.index(canonical)] for canonical, joint in layout.named.items()
                         if joint in joints)}
        expected = [canonical for canonical, joint in layout.named.items()
                    if any(joint in layout.parts[part] for part in hidden)]
        expected += [canonical for canonical in UNION.joints if canonical not in layout.named]
        assert len(hidden) == 2 and sorted(expected) == sorted(np.array(UNION.joints)[gone])
        start += len(given)


@pytest.mark.parametrize('stream', STREAMS)
def test_each_layout_is_prepared_as_by_its_own_preprocessor(stream):
    """Also alignment, velocity and random views, which draw one after another from one generator."""
    options = dict(stream=stream, alignment='both', velocity=True, keep_absent=True, seed=3, views=dict(
        first=[dict(type='Rescale', amplitude=.3, centred=True), dict(type='YawRotate', degrees=90)],
        second=['first', dict(type='GaussianNoise', p=.5, std=.1)]))
    x, frames = clips(), torch.full((4,), 6)
    together = pool(**options)
    together.set_progress(7)
    made = together(batch(x), True)['inputs']
    generator = SkeletonPreprocessor('ntu25', **options)
    generator.set_progress(7)
    shared, start = generator.generator(torch.device('cpu')), 0
    for name, given in x.items():
        alone = SkeletonPreprocessor(name, **options).prepare(given, frames[:len(given)], shared)
        for view, expected in alone.items():
            part = made[view][start:start + len(given)].numpy()
            np.testing.assert_array_equal(part, in_union(expected.numpy(), name))
        start += len(given)


def test_augmentations_that_are_already_built_keep_no_layout():
    flip = SpatialFlip(p=1.)
    made = pool(views=dict(only=[flip]))
    assert flip.layout is None
    assert [member.views['only'][0].layout.name for member in made.members.values()] == LAYOUTS


def test_a_curriculum_reaches_every_layout():
    made = pool(views=dict(only=[dict(type='SpatialFlip', p=1.), dict(type='TimeReverse', p=1.)]))
    made.active['only'] = ()
    x = clips()
    views = made(batch(x), True)['inputs']['only']
    np.testing.assert_array_equal(views[:2].numpy(), in_union(x['ntu25'].numpy(), 'ntu25'))


def test_one_layout_alone_is_prepared_as_in_the_pool():
    x = clips()
    config = dict(type='PoolPreprocessor', layout=UNION.fields(), layouts=LAYOUTS, num_persons=2, stream='bone')
    together = MODELS.build(config)(batch(x))['inputs']
    alone = MODELS.build(narrowed_config(config, 'kinect20'))(dict(inputs=x['kinect20']))['inputs']
    assert torch.equal(alone, together[2:5])


def test_mistakes():
    with pytest.raises(UserError, match='the clips state the layouts none; .* trained on ntu25, kinect20, sbu15'):
        pool()(dict(inputs=clips()['ntu25']))
    with pytest.raises(UserError, match='the clips state the layouts coco17'):
        pool()(dict(inputs=dict(coco17=torch.zeros(1, 3, 6, 17, 1))))
    with pytest.raises(UserError, match='clips have 3 persons, but the encoder takes at most 2'):
        pool()(batch(clips((2, 3, 2))))
    with pytest.raises(UserError, match='layouts is ntu25, ntu25: it must be layouts of different names'):
        PoolPreprocessor(UNION, ['ntu25', 'ntu25'])
    with pytest.raises(UserError, match="layout 'face68' has none of the joints of"):
        SkeletonPreprocessor('face68', union=union_layout([get_layout('hand21')]))


def test_the_norm_of_hidden_values():
    """In training, a feature is normalised by the running mean and by the spread around it, and hidden values are 0."""
    torch.manual_seed(0)
    norm, x, shown = BatchNorm1d(3), torch.randn(400, 3) * .1 + torch.tensor([0., 5., -2.]), torch.rand(400, 3) < .5
    x = x * shown
    for _ in range(300):
        made = norm_of_shown(norm, x, shown)
    mean = (x * shown).sum(0) / shown.sum(0)
    torch.testing.assert_close(norm.running_mean, mean, atol=1e-3, rtol=0)
    spread = ((x - mean) * shown).square().mean(0).sqrt()
    torch.testing.assert_close(made, (x - mean) * shown / spread, atol=.02, rtol=.01)
    assert not made[~shown].any()


BACKBONES = [(TemporalConvNet, dict(num_persons=2, channels=(8, 8), masked=True)),
             (STGCN, dict(hidden_channels=4, out_channels=8, dropout=0., masked=True)),
             (SkeletonViT, dict(channels=16, depth=1, heads=2)), (BiGRU, dict(num_persons=2, hidden_channels=4)),
             (TemporalConvNet, dict(num_persons='each', channels=(8, 8), masked=True))]


@pytest.mark.parametrize('cls, options', BACKBONES, ids=lambda value: getattr(value, '__name__', ''))
def test_encoders_of_the_union(cls, options):
    """A map is finite, has the features of each clip alone in evaluation, and gives every weight a gradient."""
    torch.manual_seed(0)
    x = pool()(batch(clips(frames=8)))['inputs']
    backbone = cls(UNION, **options)
    features = backbone(x)
    assert features.isfinite().all()
    features.square().mean().backward()
    assert all(weight.grad is not None for weight in backbone.parameters() if weight.numel())
    backbone.eval()
    with torch.no_grad():
        together, alone = backbone(x), torch.cat([backbone(x[i:i + 1]) for i in range(len(x))])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('cls, options', BACKBONES[:2], ids=['TemporalConvNet', 'STGCN'])
def test_missing_joints_do_not_reach_the_encoder(cls, options):
    """The norm of the input has a bias, which would give a missing joint a position."""
    torch.manual_seed(0)
    x = pool()(batch(clips(frames=8)))['inputs'][5:]  # of sbu15
    backbone = cls(UNION, **options).eval()
    norm = backbone.layers[0] if cls is TemporalConvNet else backbone.data_bn
    before = backbone(x)
    missing = torch.tensor([name not in get_layout('sbu15').named for name in UNION.joints])
    persons = 2 if cls is TemporalConvNet else 1
    entries = missing.repeat_interleave(3).repeat(persons)
    norm.bias.data[entries] += 7.
    norm.running_mean[entries] += 3.
    assert torch.equal(before, backbone(x))
    norm.bias.data[~entries] += 7.
    assert not torch.allclose(before, backbone(x))
    if cls is STGCN:
        assert not before[..., missing].any() and before[..., ~missing].any()


@pytest.mark.parametrize('cls, options', BACKBONES[:2], ids=['TemporalConvNet', 'STGCN'])
def test_masks_change_nothing_where_every_joint_is_seen(cls, options):
    torch.manual_seed(0)
    masked = cls('ntu25', **options)
    plain = cls('ntu25', **{**options, 'masked': False})
    plain.load_state_dict(masked.state_dict())
    x = torch.randn(4, 3, 8, 25, 2)
    torch.testing.assert_close(plain(x), masked(x), atol=1e-5, rtol=1e-5)
    plain.eval(), masked.eval()
    torch.testing.assert_close(plain(x), masked(x), atol=1e-5, rtol=1e-5)
    with pytest.raises(UserError, match='backbone.masked is 1; it must be True or False'):
        cls('ntu25', **{**options, 'masked': 1})
