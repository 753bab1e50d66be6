"""A stream of distances that does not change when a clip turns about the vertical axis."""
import torch
from torch import Tensor

from mmskelssl.alignment import joint_position
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

CHANNELS = 12  # per joint: six distances and their velocities
# Canonical names of the joints to which distances are measured, besides the hip. The first that a layout has is used.
_ANCHORS = (('head', 'head_top', 'nose'), ('left_hand', 'left_wrist'), ('right_hand', 'right_wrist'))


def anchors(layout: SkeletonLayout) -> list[int]:
    """Return the joints to which distances are measured: hip, head, left hand and right hand.

    A layout without a head uses the top of the head or the nose, and one without hands uses the wrists.

    Raises:
        UserError: If the layout has none of the joints with these canonical names.
    """
    named, found = layout.named, [layout.hip]
    for names in _ANCHORS:
        joint = next((named[name] for name in names if name in named), None)
        if joint is None:
            raise UserError(f'stream invariant: layout {layout.name!r} has no joint with the canonical name '
                            f'{" or ".join(names)}: add it to "canonical" of the layout, or choose another stream')
        found.append(joint)
    return found


def invariant_stream(x: Tensor, layout: SkeletonLayout, num_frames: Tensor | None = None,
                     scores: Tensor | None = None) -> Tensor:
    """Describe each joint by distances, in the units of the clips. Source: docs/methods.md 0.2.

    The six channels are the distances of a joint to the hip, head, left hand and right hand of its own body, its
    height, and its horizontal distance from the start: the position of the hip of the first person present, in the
    first frame with this person. Six more channels are the differences of these to the next frame.

    Absent persons, and joints that are zero throughout a clip, stay zero. No velocity crosses a frame without the
    person, or the end of a padded clip. Distances to a head or hand that is zero throughout a clip are zero. The hip
    and the layout's centre are exempt, because a clip may be centred on them.

    Args:
        x: (N, 3, T, V, M), y up.
        layout: Skeleton layout of the clips.
        num_frames: (N,) number of real frames of padded clips.
        scores: (N, 1, T, V, M). Positions to which distances are measured are interpolated where they were not seen.

    Returns:
        (N, 12, T, V, M).

    Raises:
        UserError: If the clips do not have three coordinates, or the layout lacks a joint.
    """
    if x.shape[1] != 3:
        raise UserError(f'stream invariant needs clips of 3 coordinates, (N, 3, T, V, M); got {tuple(x.shape)}')
    nonzero = (x != 0).any(1, keepdim=True)
    body, joint = nonzero.any(3, keepdim=True), nonzero.any(2, keepdim=True)  # (N, 1, T, 1, M), (N, 1, 1, V, M)
    values = []
    for place in anchors(layout):
        distance = _norm(x - joint_position(x, place, scores).unsqueeze(3))
        values.append(distance if place in (layout.hip, layout.centre) else distance * joint[:, :, :, place:place + 1])
    away = x[:, ::2] - _start(x, body[:, 0, :, 0], layout, scores)[:, ::2].view(-1, 2, 1, 1, 1)
    made = torch.cat([*values, x[:, 1:2], _norm(away)], 1) * (body & joint)
    both = body[:, :, 1:] & body[:, :, :-1]
    velocity = torch.cat([(made[:, :, 1:] - made[:, :, :-1]) * both, torch.zeros_like(made[:, :, :1])], 2)
    if num_frames is not None:
        beyond = torch.arange(1, x.shape[2] + 1, device=x.device) >= num_frames.unsqueeze(1)
        velocity = velocity.masked_fill(beyond.view(x.shape[0], 1, -1, 1, 1), 0.)
    return torch.cat([made, velocity], 1)


def _norm(x: Tensor) -> Tensor:
    return x.square().sum(1, keepdim=True).sqrt()


def _start(x: Tensor, seen: Tensor, layout: SkeletonLayout, scores: Tensor | None) -> Tensor:
    """Return the position (N, 3) of the hip of the first person present, in the first frame with this person.

    Args:
        seen: (N, T, M), the frames in which each person is present.
    """
    n = torch.arange(x.shape[0], device=x.device)
    main = seen.any(1).to(torch.uint8).argmax(1)
    first = seen[n, :, main].to(torch.uint8).argmax(1)
    return joint_position(x, layout.hip, scores)[n, :, first, main]
