"""Contract of batched augmentations: not in place, draws per sample, reproducible, any N, V, M, C."""
import pytest
import torch

from mmskelssl.augment import build_augments
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS

ALWAYS = {'TemporalCrop', 'CropResize', 'Shear', 'Rotate', 'TiltRotate', 'YawRotate', 'Scale', 'LinearJitter',
          'JointMask', 'CoordinateDropout', 'Rescale'}  # p = 1 unless a config says otherwise
SOMETIMES = {'TimeReverse', 'GaussianBlur', 'Interpolate', 'SpatialFlip', 'GaussianNoise', 'AxisMask'}  # p = .5
FIXED = {'TimeReverse', 'SpatialFlip'}  # nothing to draw
TOGETHER = {'SwapParts'}  # drawn once for the whole batch: tests/augment/test_mixing.py
RESHAPES = {'PickPerson'}  # returns another number of persons: tests/augment/test_persons.py
NAMES = sorted(ALWAYS | SOMETIMES)
SHAPES = {'ntu25': (5, 3, 50, 25, 2), 'kinect20': (3, 6, 13, 20, 1), 'sbu15': (1, 3, 1, 15, 2)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(n=8, c=3, t=24, v=25, m=2, dtype=torch.float32):
    return torch.randn(n, c, t, v, m, generator=generator(99), dtype=dtype)


def build(name, layout='ntu25', **settings):
    return build_augments([dict(type=name, **settings)], layout)[0]


def changed(a, b):
    return (a != b).flatten(1).any(1)


def test_every_registered_operator_is_in_the_table():
    ours = {name for name, kind in BATCH_AUGMENTS.module_dict.items() if kind.__module__.startswith('mmskelssl.')}
    assert ours == set(NAMES) | TOGETHER | RESHAPES  # another test may have imported a plug-in


@pytest.mark.parametrize('name', NAMES)
def test_published_probability_is_the_default(name):
    assert build(name).p == (1. if name in ALWAYS else .5)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('layout', SHAPES)
def test_any_shape_and_type_and_input_unchanged(name, dtype, layout):
    n, c, t, v, m = SHAPES[layout]
    x = clips(n, c, t, v, m, dtype)
    before = x.clone()
    for p in (.5, 1.):
        y = build(name, layout, p=p)(x, generator())
        assert y.shape == x.shape and y.dtype == dtype and y.isfinite().all()
        assert torch.equal(x, before)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('scores', [0, 1])
@pytest.mark.parametrize('channels, contiguous', [(3, True), (6, True), (3, False)])
def test_a_result_that_may_overwrite_the_clips_is_the_same(name, scores, channels, contiguous):
    x = clips(c=channels + scores)
    x[2, :, :, :, 1] = 0
    x = x if contiguous else x.transpose(2, 3).contiguous().transpose(2, 3)
    for p in (.5, 1.):
        augment = build(name, p=p)
        torch.testing.assert_close(augment(x.clone(), generator(), scores, overwrite=True),
                                   augment(x, generator(), scores), rtol=0, atol=0)


@pytest.mark.parametrize('name', sorted(SOMETIMES))
def test_what_a_subclass_does_also_happens_in_place(name):
    class Own(BATCH_AUGMENTS.get(name)):
        def apply(self, x, **params):
            return super().apply(x, **params) + 7

    x, augment = clips(), Own(layout='ntu25')
    torch.testing.assert_close(augment(x.clone(), generator(), overwrite=True), augment(x, generator()), rtol=0, atol=0)


@pytest.mark.parametrize('name', NAMES)
def test_same_generator_same_clips_and_global_state_untouched(name):
    x, augment = clips(), build(name, p=.7)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment(x, generator(3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(first, augment(x, generator(3)))
    assert any(not torch.equal(first, augment(x, generator(seed))) for seed in (4, 5, 6))


@pytest.mark.parametrize('name', NAMES)
def test_probability_selects_samples(name):
    augment, x = build(name, p=0.), clips(300, t=12)
    assert torch.equal(augment(x, generator()), x)
    augment.p = 1.
    # These may draw the identity: the middle window, the whole clip, the same length, or a blur below one ulp.
    identity = name in ('TemporalCrop', 'CropResize', 'Interpolate', 'GaussianBlur')
    share = changed(augment(x, generator()), x).double().mean()
    assert share > .7 if identity else share == 1
    augment.p = .3
    assert abs(changed(augment(x, generator()), x).double().mean() - .3 * share) < .09


@pytest.mark.parametrize('name', NAMES)
def test_selected_samples_are_what_apply_makes_of_them(name):
    """With p < 1, changed rows equal the augmentation of that sub-batch. The other rows are bit-equal."""
    x, augment = clips(16), build(name, p=.5)
    y = augment(x, generator(2))
    same = generator(2)
    rows = (torch.rand(16, generator=same) < .5).nonzero().squeeze(1)
    assert 0 < len(rows) < 16
    assert torch.equal(y[rows], augment.apply(x[rows], **augment.draw(x[rows], same)))
    rest = [i for i in range(16) if i not in rows]
    assert torch.equal(y[rest], x[rest])


@pytest.mark.parametrize('name', [name for name in NAMES if name not in FIXED])
def test_every_sample_draws_its_own_parameters(name):
    x = clips(1).expand(32, -1, -1, -1, -1)
    augment = build(name, p=1.)
    for parameter in augment.draw(x, generator()).values():
        assert len(parameter) == 32 and len(parameter.flatten(1).unique(dim=0) if parameter.ndim > 1
                                            else parameter.unique()) > 2
    assert len(augment(x, generator()).flatten(1).unique(dim=0)) > 2


@pytest.mark.parametrize('name', NAMES)
def test_samples_do_not_mix(name):
    x, augment = clips(), build(name, p=1.)
    params = augment.draw(x, generator())
    together = augment.apply(x, **params)
    for i in range(len(x)):
        alone = augment.apply(x[i:i + 1], **{key: value[i:i + 1] for key, value in params.items()})
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=2e-6)


@pytest.mark.parametrize('name', NAMES)
def test_autocast_around_the_preprocessor_costs_no_precision(name):
    x, augment = clips(), build(name, p=1.)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = augment(x, generator())
    assert torch.equal(inside, augment(x, generator()))


@pytest.mark.parametrize('name', NAMES)
def test_strided_input(name):
    x, augment = clips(), build(name, p=1.)
    strided = x.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    assert not strided.is_contiguous() and torch.equal(strided, x)
    torch.testing.assert_close(augment(strided, generator()), augment(x, generator()), rtol=0, atol=2e-6)


@pytest.mark.parametrize('name', NAMES)
def test_planar_clips_work_or_are_refused_by_name(name):
    x, augment = clips(c=2), build(name, p=1.)
    if name in ('Rotate', 'TiltRotate', 'YawRotate'):
        with pytest.raises(UserError, match=f'{name} needs 3 coordinates per joint, but the clips have 2'):
            augment(x, generator())
    else:
        assert augment(x, generator()).shape == x.shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('name', NAMES)
def test_cuda_agrees_with_cpu(name):
    x, augment = clips(64, t=50).cuda(), build(name, p=1.)
    before, source = x.clone(), torch.Generator('cuda').manual_seed(0)
    params = augment.draw(x, source)
    assert all(value.is_cuda for value in params.values())
    on_cpu = augment.apply(x.cpu(), **{key: value.cpu() for key, value in params.items()})
    torch.testing.assert_close(augment.apply(x, **params).cpu(), on_cpu, rtol=1e-5, atol=1e-5)
    augment.p = .5
    with torch.autocast('cuda', dtype=torch.bfloat16):
        y = augment(x, source)
    assert y.dtype == x.dtype and 10 < changed(y, x).sum() < 54
    assert torch.equal(x, before)


def test_layout_of_the_operator_outranks_the_models():
    flip, other = build_augments([dict(type='SpatialFlip', layout='kinect20'), dict(type='SpatialFlip')], 'ntu25')
    assert (flip.layout.name, other.layout.name) == ('kinect20', 'ntu25')


def test_built_operators_pass_through():
    augment = build('Shear')
    assert build_augments([augment], 'ntu25') == [augment]


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='Sheer'), r'Sheer.*did you mean Shear'),
    (dict(type='Shear', amplitud=1), 'amplitud'),
    (dict(type='Shear', p=1.5), 'Shear: p is a probability, got 1.5'),
    (dict(type='JointMask', ratio=1.), 'ratio'),
    (dict(type='CropResize', scale=(.9, .5)), 'low <= high'),
    (dict(type='CropResize', frames=0), 'frames must be an integer of at least 1, got 0'),
    (dict(type='CropResize', frames=8, p=.5), 'p must be 1 with frames=8'),
    (dict(type='Rescale', by='part'), "by is 'part': choose one of bone, limb"),
    (dict(type='PickPerson', p=.5), 'PickPerson: p must be 1'),
    (dict(type='PickPerson', origin='tail_base'), "layout ntu25 has no joint 'tail_base': choose one of pelvis"),
    (dict(type='GaussianBlur', taps=4), 'taps must be odd'),
    (dict(type='TemporalCrop', pad_ratio=0), 'pad_ratio'),
    (dict(type='Interpolate', ratio=-1), 'ratio'),
    (dict(type='CoordinateDropout', rate=2), 'rate is a probability'),
    (dict(type='SpatialFlip', layout='stick3'), 'unknown layout'),
])
def test_wrong_settings_are_one_line(config, message):
    with pytest.raises(UserError, match=message) as caught:
        build_augments([config], 'ntu25')
    assert '\n' not in str(caught.value)


def test_wrong_clips_are_refused():
    with pytest.raises(UserError, match=r'takes clips \(N, C, T, V, M\)'):
        build('Shear')(clips()[0], generator())
    for name in ('SpatialFlip', 'Rescale'):
        with pytest.raises(UserError, match='20 joints, but layout ntu25 has 25'):
            build(name, p=1.)(clips(v=20), generator())
        with pytest.raises(UserError, match='needs a skeleton layout'):
            build(name, None)(clips(), generator())


def test_a_layout_without_pairs_or_parts_is_refused_where_they_are_needed():
    stick = dict(name='stick', joints=('a', 'b', 'c'), parents=(0, 0, 1), hip=0, shoulders=(1, 2))
    with pytest.raises(UserError, match='layout stick has no left/right pairs'):
        build('SpatialFlip', stick)
    with pytest.raises(UserError, match='layout stick has no body parts'):
        build('Rescale', stick, by='limb')
