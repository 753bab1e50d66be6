"""Centre and rotate whole batches of clips for view invariance, on any device.

Clips have the shape (N, 3, T, V, M), with y up. Absent persons and frames are all zeros and stay zero.
"""
import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


def _check(x: Tensor, name: str, channels: tuple[int, ...] = (3,)) -> None:
    if x.dim() != 5 or x.shape[1] not in channels:
        raise UserError(f'{name} needs clips of {channels[-1]} coordinates, (N, {channels[-1]}, T, V, M); got '
                        f'{tuple(x.shape)}')


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate about y: x' = cos x - sin z, z' = sin x + cos z. ``cos`` and ``sin`` broadcast against (N, T, V, M)."""
    return torch.stack((cos * x[:, 0] - sin * x[:, 2], x[:, 1], sin * x[:, 0] + cos * x[:, 2]), 1)


def centre_frames(x: Tensor, layout: SkeletonLayout, joint: int | None = None) -> Tensor:
    """Subtract a joint, by default the layout's centre, in each frame and for each person separately.

    As in AimCLR and related methods (docs/methods.md 0.1 step 3), two persons lose their relative position.
    """
    joint = layout.centre if joint is None else joint
    return x - x[:, :, :, joint:joint + 1]


def align_shoulders(x: Tensor, layout: SkeletonLayout) -> Tensor:
    """Rotate each frame of each person so that the shoulders lie along x.

    Source: AimCLR and related methods (docs/methods.md 0.1 step 5). As published, the angle has one sign for a
    person's whole clip. Frames that need the other sign are rotated the wrong way.
    """
    _check(x, 'align_shoulders')
    left, right = layout.shoulders
    across = x[:, ::2, :, right] - x[:, ::2, :, left]  # (N, 2, T, M): x and z
    length = across.square().sum(1).sqrt()
    cos = across[:, 0] / (length + 1e-4)
    angle = torch.arccos(cos.clamp(-1, 1))
    backwards = across[:, 1].sum(1, keepdim=True) >= 0
    angle = torch.where(backwards, -angle, angle)
    return _turn(x, angle.cos().unsqueeze(2), angle.sin().unsqueeze(2))


def align_sequence(x: Tensor, layout: SkeletonLayout, turn: bool = True, middle: bool = False) -> Tensor:
    """Translate and rotate a whole clip rigidly.

    The hip of the first person present moves to the origin in their first frame, and their median shoulder direction
    is rotated to x. The trajectory, the heading over time and the distance between two persons are preserved. For an
    even number of frames, the median is the lower of the two middle values, as in torch.

    In 2D, a joint of zeros was not detected by the pose estimator. It stays at zero, and the origin is the first
    detected position of the hip. In 3D, only a whole frame of zeros counts as not detected, because clips may be
    centred on a joint.

    Args:
        x: (N, 3, T, V, M), or (N, 2, T, V, M) with ``turn=False``.
        layout: Skeleton layout of the clips.
        turn: Rotate the clip about y. Otherwise it is only translated, and the encoder has to learn the viewpoint. 2D
            poses can only be translated.
        middle: Use the midpoint between the hips of all persons present in that frame as the origin. Swapping two
            persons then changes nothing else.
    """
    _check(x, 'align_sequence', (3,) if turn else (2, 3))
    there = (x != 0).any(1, keepdim=True)  # (N, 1, T, V, M)
    seen = there.any(3).squeeze(1)  # (N, T, M)
    n = torch.arange(len(x), device=x.device)
    main = seen.any(1).to(torch.uint8).argmax(1)  # the first person present in any frame
    first = seen[n, :, main].to(torch.uint8).argmax(1)
    if x.shape[1] == 2:
        hip = there[n, 0, :, layout.hip, main]  # (N, T)
        first = torch.where(hip.any(1), hip.to(torch.uint8).argmax(1), first)
    else:
        there = there.any(3, keepdim=True)
    origin = x[n, :, first, layout.hip, main].view(-1, x.shape[1], 1, 1, 1)
    if middle:
        who = seen[n, first].unsqueeze(1)  # (N, 1, M)
        origin = ((x[n, :, first, layout.hip] * who).sum(2) / who.sum(2)).view(-1, x.shape[1], 1, 1, 1)
    if not turn:
        return (x - origin) * there
    left, right = layout.shoulders
    across = x[n, :, :, right, main] - x[n, :, :, left, main]  # (N, 3, T)
    across = torch.where(seen[n, :, main].unsqueeze(1), across, torch.nan).nanmedian(2).values.nan_to_num()
    length = (across[:, 0].square() + across[:, 2].square()).sqrt()
    known = length > 1e-6
    cos = torch.where(known, across[:, 0] / length, torch.ones_like(length)).view(-1, 1, 1, 1)
    sin = torch.where(known, -across[:, 2] / length, torch.zeros_like(length)).view(-1, 1, 1, 1)
    return _turn(x - origin, cos, sin) * there
