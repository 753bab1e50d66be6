"""Spatial augmentations compared with slow oracles, and the ranges of their parameters."""
import math

import augment_oracles as oracle
import numpy as np
import pytest
import torch

from mmskelssl.augment import (
    AxisMask,
    CoordinateDropout,
    GaussianNoise,
    JointMask,
    LinearJitter,
    Rescale,
    Rotate,
    Scale,
    Shear,
    SpatialFlip,
    TiltRotate,
    YawRotate,
)
from mmskelssl.layouts import get_layout

SHAPES = {'ntu25': (4, 3, 3, 25, 2), 'kinect20': (1, 6, 2, 20, 1), 'sbu15': (3, 3, 1, 15, 2)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(*shape):
    return torch.randn(*shape, generator=generator(9), dtype=torch.float64)


def many(v=1, c=3):
    return clips(6000, c, 1, v, 1)


FREE = [(Shear(), oracle.linear), (LinearJitter(.3), oracle.linear), (Rotate(), oracle.rotate),
        (Rotate(main=170, minor=90), oracle.rotate), (TiltRotate(90), oracle.rotate), (YawRotate(), oracle.yaw_rotate),
        (Scale(), oracle.scale),
        (GaussianNoise(), oracle.gaussian_noise), (AxisMask(), oracle.axis_mask), (JointMask(), oracle.joint_mask),
        (CoordinateDropout(), oracle.coordinate_dropout)]
BOUND = [(lambda: SpatialFlip(), oracle.spatial_flip),
         (lambda: SpatialFlip(mirror=True), lambda clip, layout: oracle.spatial_flip(clip, layout, True)),
         (lambda: Rescale(), oracle.rescale), (lambda: Rescale(centred=True), oracle.rescale),
         (lambda: Rescale(by='limb'), oracle.rescale)]


@pytest.mark.parametrize('name', SHAPES)
@pytest.mark.parametrize(('augment', 'slow'), FREE, ids=lambda value: repr(value) if hasattr(value, 'p') else '')
def test_matches_oracle(augment, slow, name):
    x = clips(*SHAPES[name])
    params = augment.draw(x, generator(1))
    fast = augment.apply(x, **params)
    for i, clip in enumerate(x.numpy()):
        wanted = slow(clip, *(value[i].numpy() for value in params.values()))
        np.testing.assert_allclose(fast[i].numpy(), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize('name', SHAPES)
@pytest.mark.parametrize(('make', 'slow'), BOUND, ids=['flip', 'mirror', 'rescale', 'rescale-centred', 'rescale-limb'])
def test_matches_oracle_on_a_skeleton(make, slow, name):
    x, layout = clips(*SHAPES[name]), get_layout(name)
    augment = make().bind(name)
    params = augment.draw(x, generator(1))
    fast = augment.apply(x, **params)
    for i, clip in enumerate(x.numpy()):
        wanted = slow(clip, *(value[i].numpy() for value in params.values()), layout)
        np.testing.assert_allclose(fast[i].numpy(), wanted, rtol=0, atol=1e-10)


def test_flip_of_ntu_is_the_published_permutation():
    published = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
    x = clips(2, 3, 4, 25, 2)
    assert torch.equal(SpatialFlip(layout='ntu25').apply(x), x[:, :, :, published])


def test_one_axis_mask_on_one_of_three_axes():
    x = clips(3, 3, 2, 4, 1)
    y = AxisMask().apply(x, torch.tensor([0, 1, 2]))
    for sample in range(3):
        assert [bool((y[sample, axis] == 0).all()) for axis in range(3)] == [axis == sample for axis in range(3)]
    share = AxisMask().draw(many(), generator())['axis'].bincount() / 6000
    assert len(share) == 3 and (share - 1 / 3).abs().max() < .03


def test_shear_draws():
    matrix = Shear(.5).draw(many(), generator())['matrix']
    off = matrix[:, ~torch.eye(3, dtype=torch.bool)]
    assert (matrix.diagonal(dim1=1, dim2=2) == 1).all()
    assert off.shape[1] == 6 and -.5 <= off.min() < -.49 and .49 < off.max() <= .5 and off.mean(0).abs().max() < .02
    assert np.abs(np.corrcoef(off.T.numpy()) - np.eye(6)).max() < .06  # six draws, not one


def test_rotate_draws():
    degrees = Rotate().draw(many(), generator())['angles'].rad2deg()
    assert degrees.max() <= 0 and -30 <= degrees.min() < -29.5  # against the right-hand rule, as published
    main = degrees.argmin(1)[(degrees < -1).any(1)]
    assert (main.bincount() / len(main) - 1 / 3).abs().max() < .03
    assert ((degrees < -1).sum(1) <= 1).all()
    assert abs(degrees.sum(1).mean() + 16) < .4  # 15 about the main axis, a half about each of the others


def test_yaw_draws_and_keeps_heights():
    angle = YawRotate(45).draw(many(), generator())['angle']
    limit = math.radians(45)
    assert -limit <= angle.min() < -.98 * limit and .98 * limit < angle.max() <= limit and abs(angle.mean()) < .03
    x = clips(2, 3, 4, 5, 1)
    y = YawRotate().apply(x, torch.full((2,), math.pi / 2, dtype=torch.float64))
    torch.testing.assert_close(y[:, 1], x[:, 1])
    torch.testing.assert_close(y[:, 0], x[:, 2])  # a quarter turn takes z to x
    torch.testing.assert_close(y[:, 2], -x[:, 0])


def test_tilt_draws():
    degrees = TiltRotate(20).draw(many(), generator())['angles'].rad2deg()
    assert -20 <= degrees.min() < -19.9 and 19.9 < degrees.max() <= 20 and degrees.mean(0).abs().max() < 1
    assert np.abs(np.corrcoef(degrees.T.numpy()) - np.eye(3)).max() < .05  # three draws, not one


def test_limbs_share_a_factor_and_their_sides_do_too():
    x, layout = clips(500, 3, 1, 25, 1), get_layout('ntu25')
    factors = Rescale(.15, centred=True, by='limb', layout=layout).draw(x, generator())['factors']
    kinds = [[3, 2, 20, 1, 0], [*range(4, 12), *range(21, 25)], [*range(12, 20)]]
    assert sorted(sum(kinds, [])) == [*range(25)]
    for joints in kinds:
        assert (factors[:, joints] == factors[:, joints[:1]]).all()
    drawn = factors[:, [joints[0] for joints in kinds]]
    assert .85 <= drawn.min() < .86 and 1.14 < drawn.max() <= 1.15
    assert np.abs(np.corrcoef(drawn.T.numpy()) - np.eye(3)).max() < .15


def test_scale_draws():
    factor = Scale(.2).draw(many(), generator())['factor']
    assert .8 <= factor.min() < .81 and 1.19 < factor.max() <= 1.2 and abs(factor.mean() - 1) < .01


def test_jitter_and_noise_draws():
    matrix = LinearJitter(.1).draw(many(), generator())['matrix'] - torch.eye(3)
    assert abs(matrix.std() - .1) < .003 and matrix.mean().abs() < .003
    noise = GaussianNoise(std=.05).draw(many(v=3), generator())['noise']
    assert noise.shape == many(v=3).shape and abs(noise.std() - .05) < .001 and noise.mean().abs() < .001


def test_noise_may_leave_absent_persons_absent():
    x = clips(4, 3, 6, 25, 2)
    x[1, ..., 1] = 0  # no second person
    x[2, :, 4:] = 0  # no one in the last frames
    x[3, :, :, 7] = 0  # a joint that was not seen
    quiet, published = (GaussianNoise(p=1, absent=absent)(x, generator()) for absent in (False, True))
    assert not quiet[1, ..., 1].any() and not quiet[2, :, 4:].any()
    assert published[1, ..., 1].all() and published[2, :, 4:].all()
    quiet[1, ..., 1], quiet[2, :, 4:] = published[1, ..., 1], published[2, :, 4:]
    assert (quiet == published).all()


@pytest.mark.parametrize(('v', 'count'), [(25, 4), (20, 3), (3, 0)])
def test_joint_mask_draws_an_exact_number_of_joints(v, count):
    keep = JointMask(ratio=.15).draw(many(v), generator())['keep']
    assert ((~keep).sum(1) == count).all()
    assert ((~keep).double().mean(0) - count / v).abs().max() < .03


def test_dropout_draws():
    keep = CoordinateDropout(rate=.2).draw(many(v=5), generator())['keep']
    assert keep.shape == many(v=5).shape and abs(keep.double().mean() - .8) < .01


def test_rescale_draws():
    shrinking = Rescale(.5, layout='sbu15').draw(many(15), generator())['factors']
    assert shrinking.shape == (6000, 15)
    assert 0 <= shrinking.min() < .01 and .49 < shrinking.max() <= .5 and (shrinking.mean(0) - .25).abs().max() < .01
    centred = Rescale(.2, centred=True, layout='sbu15').draw(many(15), generator())['factors']
    assert .8 <= centred.min() < .81 and 1.19 < centred.max() <= 1.2 and (centred.mean(0) - 1).abs().max() < .01


def test_rescale_keeps_the_root_and_a_factor_of_one_keeps_all():
    layout = get_layout('kinect20')
    x, augment = clips(2, 3, 4, 20, 2), Rescale(layout=layout)
    y = augment.apply(x, torch.zeros(2, 20, dtype=torch.float64))
    torch.testing.assert_close(y, x[:, :, :, layout.centre:layout.centre + 1].expand_as(x))
    torch.testing.assert_close(augment.apply(x, torch.ones(2, 20, dtype=torch.float64)), x)
