"""Alignment with scores: a joint that was not seen decides neither the centre nor the direction."""
import numpy as np
import pytest
import torch

from mmskelssl.alignment import align_sequence, align_shoulders, centre_frames
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

LAYOUT = get_layout('ntu25')


def body(channels=3, persons=2, frames=7, n=3, seed=0):
    x = torch.randn(n, channels, frames, 25, persons, generator=torch.Generator().manual_seed(seed)).double()
    x[0, ..., persons - 1] = 0  # an absent person
    x[1, :, 0] = 0              # a frame without persons
    return x


def seen(x):
    return (x != 0).any(1, keepdim=True).to(x.dtype)


def align(name, x, scores, turn):
    if name == 'frames':
        return centre_frames(x, LAYOUT, scores=scores)
    if name == 'shoulders':
        return align_shoulders(x, LAYOUT, scores)
    return align_sequence(x, LAYOUT, turn, middle=name == 'middle', scores=scores)


@pytest.mark.parametrize('name, turn', [('frames', True), ('shoulders', True), ('sequence', True), ('middle', True),
                                        ('sequence', False), ('middle', False)])
def test_positive_scores_change_nothing(name, turn):
    for channels in (3,) if turn else (2, 3):
        x = body(channels)
        plain = align(name, x, None, turn)
        torch.testing.assert_close(align(name, x, seen(x) * .4, turn), plain)
        assert not align(name, x, seen(x), turn)[0, ..., 1].any()  # the absent person stays absent


@pytest.mark.parametrize('joint', sorted({LAYOUT.centre, LAYOUT.hip, *LAYOUT.shoulders}))
@pytest.mark.parametrize('name, turn', [('frames', True), ('shoulders', True), ('sequence', True), ('middle', True),
                                        ('sequence', False)])
def test_an_unseen_joint_decides_nothing(name, turn, joint):
    """The result for all other joints is the same for any coordinates of a joint with score 0."""
    x = body()
    scores = seen(x)
    scores[:, :, 1:4, joint] = 0
    scores[2, :, :, joint] = 0  # never seen in this clip
    wild = x.clone()
    wild[:, :, :, joint] = torch.where(scores[:, :, :, joint] == 0, 50 * seen(x)[:, :, :, joint], x[:, :, :, joint])
    made, other = align(name, x, scores, turn), align(name, wild, scores, turn)
    keep = [i for i in range(25) if i != joint]
    torch.testing.assert_close(other[:, :, :, keep], made[:, :, :, keep])
    assert made.isfinite().all()


def test_the_centre_is_interpolated_over_time():
    x = torch.zeros(1, 3, 5, 25, 1)
    x[0, 0, :, :, 0] = 1.
    x[0, 0, :, LAYOUT.centre, 0] = torch.tensor([99., 2, 99, 99, 8])
    scores = torch.ones(1, 1, 5, 25, 1)
    scores[0, 0, [0, 2, 3], LAYOUT.centre] = 0
    made = centre_frames(x, LAYOUT, scores=scores)[0, 0, :, 0, 0]
    np.testing.assert_allclose(made, 1 - np.array([2, 2, 4, 6, 8]), rtol=1e-6)
    scores[0, 0, :, LAYOUT.centre] = 0  # never seen: the mean of the others
    np.testing.assert_allclose(centre_frames(x, LAYOUT, scores=scores)[0, 0, :, 0, 0], 0, atol=1e-6)


def test_2d_origin():
    layout = get_layout('coco17')
    x = torch.full((1, 2, 4, 17, 1), 5.)
    x[0, :, :, layout.hip, 0] = torch.tensor([[70., 3, 4, 5]] * 2)
    scores = torch.ones(1, 1, 4, 17, 1)
    scores[0, 0, 0, layout.hip] = 0
    other = next(i for i in range(17) if i != layout.hip)
    assert (align_sequence(x, layout, turn=False)[0, :, 0, other, 0] == -65).all()
    assert (align_sequence(x, layout, turn=False, scores=scores)[0, :, 0, other, 0] == 2).all()


def test_shoulders_that_were_never_seen_do_not_turn():
    x = body()
    scores = seen(x)
    scores[:, :, :, LAYOUT.shoulders[0]] = 0
    torch.testing.assert_close(align_shoulders(x, LAYOUT, scores), x)
    moved = align_sequence(x, LAYOUT, turn=False, scores=scores)
    torch.testing.assert_close(align_sequence(x, LAYOUT, scores=scores), moved)


@pytest.mark.parametrize('scored', [False, True])
def test_the_height_may_be_kept(scored):
    """Horizontally as without the option, and y as before. Absent persons stay absent."""
    x = body()
    scores = seen(x) if scored else None
    made, kept = (centre_frames(x, LAYOUT, scores=scores, keep_height=keep) for keep in (False, True))
    torch.testing.assert_close(kept[:, ::2], made[:, ::2])
    torch.testing.assert_close(kept[:, 1], x[:, 1])
    assert (kept[:, 1] - made[:, 1]).abs().max() > .1
    with pytest.raises(UserError, match='needs clips of 3 coordinates'):
        centre_frames(body(2), LAYOUT, keep_height=True)
