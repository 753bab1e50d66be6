"""The invariant stream compared with an oracle written in loops, and what a turn, a mirror and an absence change."""
import numpy as np
import pytest
import torch

from mmskelssl.augment import build_augments, stream_channels, to_stream
from mmskelssl.augment.invariant import CHANNELS, anchors
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS, get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor

NAMES = ('kinect20', 'ntu25', 'sbu15', 'smpl22', 'h36m17')
WITHOUT = ('animal17', 'face68', 'hand21', 'shrec22')


def clips(layout, n=3, frames=7, persons=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, frames, layout.num_joints, persons, generator=generator, dtype=torch.float64)
    x[0, ..., 0] = 0  # the first person is absent, and the start is that of the second
    x[1, :, :2, :, 0] = 0  # late
    x[1, :, 4, :, 0] = 0  # not seen in one frame
    x[2, :, :, layout.named.get('head', 3)] = 0  # a joint that the clip lacks
    return x


def oracle(x, layout, lengths=None):
    """docs/methods.md 0.2, joint by joint."""
    x, names = x.numpy(), layout.named
    head = next(names[name] for name in ('head', 'head_top', 'nose') if name in names)
    left, right = (names.get(f'{side}_hand', names.get(f'{side}_wrist')) for side in ('left', 'right'))
    n, _, frames, joints, persons = x.shape
    out = np.zeros((n, 12, frames, joints, persons))
    for i in range(n):
        there = [[x[i, :, t, :, m].any() for t in range(frames)] for m in range(persons)]
        main = next((m for m in range(persons) if any(there[m])), 0)
        first = there[main].index(True) if any(there[main]) else 0
        start = x[i, :, first, layout.hip, main]
        for m in range(persons):
            for v in range(joints):
                if not x[i, :, :, v, m].any():
                    continue
                for t in range(frames):
                    if not there[m][t]:
                        continue
                    p = x[i, :, t, v, m]
                    for c, anchor in enumerate((layout.hip, head, left, right)):
                        if x[i, :, :, anchor, m].any() or anchor in (layout.hip, layout.centre):
                            out[i, c, t, v, m] = np.linalg.norm(p - x[i, :, t, anchor, m])
                    out[i, 4, t, v, m] = p[1]
                    out[i, 5, t, v, m] = np.hypot(p[0] - start[0], p[2] - start[2])
            for t in range(min(frames, lengths[i] if lengths is not None else frames) - 1):
                if there[m][t] and there[m][t + 1]:
                    out[i, 6:, t, :, m] = out[i, :6, t + 1, :, m] - out[i, :6, t, :, m]
    return torch.from_numpy(out)


def turned(x, degrees, shift=(0., 0.)):
    """Turn clips about the vertical axis, and move them along the ground."""
    angle = np.radians(degrees)
    turn = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).to(x)
    made = torch.einsum('ij,njtvm->nitvm', turn, x)
    place = torch.tensor([shift[0], 0., shift[1]]).to(x).view(1, 3, 1, 1, 1)
    return torch.where((x != 0).any(1, keepdim=True), made + place, x)


@pytest.mark.parametrize('name', NAMES)
def test_it_is_what_the_loops_compute(name):
    layout = get_layout(name)
    x = clips(layout)
    before = x.clone()
    made = to_stream(x, 'invariant', layout)
    assert made.shape[1] == CHANNELS == stream_channels('invariant', 3)
    torch.testing.assert_close(made, oracle(x, layout), rtol=0, atol=1e-12)
    assert torch.equal(x, before)


def test_padded_clips_end_at_their_last_real_frame():
    layout, lengths = get_layout('ntu25'), [4, 7, 1]
    x = clips(layout)
    for clip, length in zip(x, lengths, strict=True):
        clip[:, length:] = 0
    made = to_stream(x, 'invariant', layout, torch.tensor(lengths))
    torch.testing.assert_close(made, oracle(x, layout, lengths), rtol=0, atol=1e-12)
    for clip, length, out in zip(x, lengths, made, strict=True):
        assert not out[:, length:].any() and not out[6:, length - 1].any()
        torch.testing.assert_close(out[None, :, :length], to_stream(clip[None, :, :length], 'invariant', layout))


@pytest.mark.parametrize('degrees', [30, 90, 181])
@pytest.mark.parametrize('shift', [(0., 0.), (2., -1.)])
def test_a_turn_changes_nothing(degrees, shift):
    """A step along the ground changes nothing either. Other streams and another axis do change."""
    layout = get_layout('kinect20')
    x = clips(layout, persons=2).float()
    plain, other = (to_stream(clip, 'invariant', layout) for clip in (x, turned(x, degrees, shift)))
    torch.testing.assert_close(other, plain, rtol=0, atol=1e-5)
    for stream in ('joint', 'bone', 'motion'):
        assert (to_stream(turned(x, degrees), stream, layout) - to_stream(x, stream, layout)).abs().max() > .1
    tilted = to_stream(turned(x[:, [1, 0, 2]], degrees)[:, [1, 0, 2]], 'invariant', layout)
    assert (tilted - plain).abs().max() > .1


def test_the_views_turn_and_nothing_changes():
    """The augmentation of the configs, in a whole preprocessor."""
    x = clips(get_layout('kinect20')).float()
    views = dict(plain=[], turned=[dict(type='YawRotate', degrees=180)], jittered=[dict(type='Scale')])
    made = SkeletonPreprocessor('kinect20', 'invariant', views=views)(dict(inputs=x), True)['inputs']
    torch.testing.assert_close(made['turned'], made['plain'], rtol=0, atol=1e-5)
    assert (made['jittered'] - made['plain']).abs().max() > .01


def test_a_mirrored_clip_exchanges_the_sides():
    layout = get_layout('ntu25')
    x = clips(layout)
    mirrored = build_augments([dict(type='SpatialFlip', p=1., mirror=True)], layout)[0](x, torch.Generator())
    plain, made = (to_stream(clip, 'invariant', layout) for clip in (x, mirrored))
    hands = [0, 1, 3, 2, 4, 5]
    torch.testing.assert_close(made, plain[:, [*hands, *(6 + c for c in hands)]][:, :, :, layout.mirror],
                               rtol=0, atol=1e-12)


def test_distances_between_two_persons_remain():
    """The start is the same for both, so that the second person's distance from the first one shows."""
    layout = get_layout('sbu15')
    x = clips(layout)[1:]
    apart = x.clone()
    apart[:, 0, :, :, 0] += 3 * (x[:, :, :, :, 0] != 0).any(1)
    near, far = (to_stream(clip, 'invariant', layout)[:, 5, :, :, 0] for clip in (x, apart))
    assert (far != near).any()


@pytest.mark.parametrize('name', WITHOUT)
def test_a_layout_without_the_joints_is_refused(name):
    lacks = 'left_hand' if name == 'animal17' else 'head'
    with pytest.raises(UserError, match=f'layout {name!r} has no joint with the canonical name {lacks}') as caught:
        SkeletonPreprocessor(name, 'invariant')
    assert '\n' not in str(caught.value)


def test_every_other_layout_has_them():
    for name in sorted({*LAYOUTS} - {*WITHOUT}):
        assert len(set(anchors(get_layout(name)))) >= 3, name  # the hip of COCO, which has no pelvis, is the nose


def test_own_names_of_a_layout():
    """A layout with joints of other names, which says what they are."""
    joints = ['a', 'b', 'c', 'd', 'e']
    fields = dict(name='mine', joints=joints, parents=[0, 0, 0, 0, 0], hip=0, shoulders=[2, 3])
    with pytest.raises(UserError, match='head or head_top or nose: add it to "canonical"'):
        SkeletonPreprocessor(fields, 'invariant')
    canonical = ['pelvis', 'head', 'left_wrist', 'right_wrist', None]
    made = SkeletonPreprocessor({**fields, 'canonical': canonical}, 'invariant')
    assert anchors(made.layout) == [0, 1, 2, 3]


def test_two_coordinates_are_refused():
    layout = get_layout('coco17')
    with pytest.raises(UserError, match='stream invariant needs 3 coordinates per joint, but the clips have 2'):
        SkeletonPreprocessor.channels(2, stream='invariant')
    with pytest.raises(UserError, match=r'needs clips of 3 coordinates.*got \(1, 2, 4, 17, 1\)'):
        to_stream(torch.ones(1, 2, 4, 17, 1), 'invariant', layout)
    with pytest.raises(UserError, match='the invariant stream needs a skeleton layout'):
        to_stream(torch.ones(1, 3, 4, 17, 1), 'invariant')


def test_alignment_and_velocity_do_not_apply():
    x = clips(get_layout('ntu25'))
    plain = SkeletonPreprocessor('ntu25', 'invariant')(dict(inputs=x))['inputs']
    for alignment in ('none', 'frame', 'both'):
        made = SkeletonPreprocessor('ntu25', 'invariant', alignment, velocity=True)(dict(inputs=x))['inputs']
        assert torch.equal(made, plain)
        assert SkeletonPreprocessor.channels(3, alignment, True, True, 'invariant') == 13


def test_scores_decide_which_positions_count():
    """The score is the last channel. A hand that was not seen is interpolated between the frames where it was."""
    layout = get_layout('ntu25')
    hand = layout.named['left_hand']
    x = torch.randn(1, 3, 7, 25, 1, generator=torch.Generator().manual_seed(4)).double()
    x[:, :, 3, hand] = (x[:, :, 2, hand] + x[:, :, 4, hand]) / 2
    scores = torch.ones(1, 1, 7, 25, 1).double()
    model, rest = SkeletonPreprocessor('ntu25', 'invariant', scores=True), [j for j in range(25) if j != hand]
    seen = model(dict(inputs=torch.cat([x, scores], 1)))['inputs']
    assert seen.shape[1] == 13 and torch.equal(seen[:, 12:], scores)
    torch.testing.assert_close(seen[:, :12], to_stream(x, 'invariant', layout))
    wild = x.clone()
    wild[:, :, 3, hand] = 50.
    scores[:, :, 3, hand] = 0
    unseen = model(dict(inputs=torch.cat([wild, scores], 1)))['inputs']
    torch.testing.assert_close(unseen[:, :12][:, :, :, rest], seen[:, :12][:, :, :, rest])


def test_autocast_keeps_its_precision():
    layout = get_layout('ntu25')
    x = clips(layout).float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = to_stream(x, 'invariant', layout)
    assert torch.equal(inside, to_stream(x, 'invariant', layout))
