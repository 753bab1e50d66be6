"""Streams and ActCLR's style transfer and blending, compared with slow oracles."""
import augment_oracles as oracle
import numpy as np
import pytest
import torch

from mmskelssl.augment import blend, to_stream, transfer_style, upsample_mask
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

SHAPES = {'ntu25': (5, 3, 4, 25, 2), 'kinect20': (3, 6, 7, 20, 1), 'sbu15': (1, 3, 2, 15, 2)}


def clips(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_close(fast, slow):
    np.testing.assert_allclose(fast.numpy(), np.stack(slow), rtol=0, atol=1e-10)


@pytest.mark.parametrize('name', SHAPES)
def test_streams(name):
    x, layout = clips(*SHAPES[name]), get_layout(name)
    before = x.clone()
    assert torch.equal(to_stream(x, 'joint', layout), before)
    assert_close(to_stream(x, 'bone', layout), [oracle.bone(clip, layout) for clip in x.numpy()])
    assert_close(to_stream(x, 'motion', layout), [oracle.motion(clip) for clip in x.numpy()])
    assert torch.equal(x, before)


def test_bones_of_ntu_are_the_published_ones():
    pairs = [(1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11),
             (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (21, 21), (22, 23), (23, 8),
             (24, 25), (25, 12)]  # docs/methods.md 0.2, counted from 1
    x = clips(2, 3, 4, 25, 2)
    bones = to_stream(x, 'bone', get_layout('ntu25'))
    for child, parent in pairs:
        assert torch.equal(bones[:, :, :, child - 1], x[:, :, :, child - 1] - x[:, :, :, parent - 1])


def test_one_frame_does_not_move():
    assert (to_stream(clips(2, 3, 1, 5, 1), 'motion') == 0).all()


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_padded_clips_move_up_to_their_last_real_frame(stream):
    """The result is the same as for clips cut to their length. The step to the padding does not count as movement."""
    x, lengths, layout = clips(3, 3, 6, 25, 2), [4, 6, 1], get_layout('ntu25')
    for clip, length in zip(x, lengths, strict=True):
        clip[:, length:] = 0 if stream != 'motion' else torch.nan
    made = to_stream(x, stream, layout, torch.tensor(lengths))
    for clip, length, out in zip(x, lengths, made, strict=True):
        cut = clip[None, :, :length]
        assert torch.equal(out[:, :length], to_stream(cut, stream, layout)[0])
        assert (out[:, length:] == 0).all()


def test_wrong_stream_or_layout():
    layout = get_layout('ntu25')
    with pytest.raises(UserError, match="unknown stream 'bones': choose one of joint, bone, motion, invariant"):
        to_stream(clips(1, 3, 2, 25, 1), 'bones', layout)
    with pytest.raises(UserError, match='unknown stream'):
        transfer_style(clips(1, 3, 2, 25, 1), 1, 'bones', layout)
    with pytest.raises(UserError, match='20 joints, but layout ntu25 has 25'):
        to_stream(clips(1, 3, 2, 20, 1), 'bone', layout)
    with pytest.raises(UserError, match='needs a skeleton layout'):
        to_stream(clips(1, 3, 2, 20, 1), 'bone')


@pytest.mark.parametrize('shift', [0, 1, 2])
@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
@pytest.mark.parametrize('name', SHAPES)
def test_style(name, stream, shift):
    x, layout = clips(*SHAPES[name]), get_layout(name)
    before, n = x.clone(), len(x)
    slow = dict(joint=lambda a, b: oracle.style_joint(a, b, layout), bone=oracle.style_bone,
                motion=oracle.style_motion)[stream]
    fast = transfer_style(x, shift, stream, layout)
    assert_close(fast, [slow(x[i].numpy(), x[(i + shift) % n].numpy()) for i in range(n)])
    assert torch.equal(x, before)


def test_style_of_one_frame_is_finite():
    assert transfer_style(clips(3, 3, 1, 25, 2), 1, 'motion', get_layout('ntu25')).isfinite().all()


def test_style_under_autocast_keeps_its_precision():
    x, layout = clips(4, 3, 5, 25, 2).float(), get_layout('ntu25')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = transfer_style(x, 1, 'joint', layout)
    assert torch.equal(inside, transfer_style(x, 1, 'joint', layout))


@pytest.mark.parametrize(('cells', 'frames', 'joints'), [((13, 25), 50, 25), ((4, 20), 13, 20), ((1, 1), 3, 5)])
@pytest.mark.parametrize('persons', [1, 2])
def test_mask_upsampling_and_blending(cells, frames, joints, persons):
    n = 3
    mask = torch.rand(n * persons, 1, *cells, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    full = upsample_mask(mask, frames, joints, persons)
    assert full.shape == (n, 1, frames, joints, persons)
    a, b = clips(n, 3, frames, joints, persons), clips(n, 3, frames, joints, persons, seed=1)
    blended = blend(mask, a, b)
    for i in range(n):
        for person in range(persons):
            slow = oracle.upsample(mask[i * persons + person, 0].numpy(), frames, joints)
            np.testing.assert_allclose(full[i, 0, :, :, person].numpy(), slow, rtol=0, atol=1e-10)
            wanted = slow * a[i, ..., person].numpy() + (1 - slow) * b[i, ..., person].numpy()
            np.testing.assert_allclose(blended[i, ..., person].numpy(), wanted, rtol=0, atol=1e-10)
