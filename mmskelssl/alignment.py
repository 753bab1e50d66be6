"""Centre and rotate whole batches of clips for view invariance, on any device.

Clips have the shape (N, 3, T, V, M), with y up. Absent persons and frames are all zeros and stay zero.

Every function takes the scores (N, 1, T, V, M) of the joints, if there are any. A score of 0 means that the joint was
not seen. Its coordinates then decide neither the centre nor the direction of a person.
"""
import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.tracing import exporting


def _check(x: Tensor, name: str, channels: tuple[int, ...] = (3,)) -> None:
    if x.dim() != 5 or x.shape[1] not in channels:
        raise UserError(f'{name} needs clips of {channels[-1]} coordinates, (N, {channels[-1]}, T, V, M); got '
                        f'{tuple(x.shape)}')


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate about y: x' = cos x - sin z, z' = sin x + cos z. ``cos`` and ``sin`` broadcast against (N, T, V, M)."""
    return torch.stack((cos * x[:, 0] - sin * x[:, 2], x[:, 1], sin * x[:, 0] + cos * x[:, 2]), 1)


def fill_over_time(values: Tensor, known: Tensor) -> Tensor:
    """Interpolate values (N, C, T, M) linearly over time in the frames in which they are not known (N, T, M).

    Before the first and after the last known frame, the nearest known value is held. Values of persons without a known
    frame do not change.
    """
    frames = values.shape[2]
    frame = torch.arange(frames, device=values.device).view(1, -1, 1)
    before = torch.where(known, frame, -1).cummax(1).values
    after = torch.where(known, frame, frames).flip(1).cummin(1).values.flip(1)
    low, high = torch.where(before < 0, after, before), torch.where(after == frames, before, after)
    ever = known.any(1, keepdim=True)
    low, high = (torch.where(ever, index, frame) for index in (low, high))
    weight = ((frame - low) / (high - low).clamp(min=1)).unsqueeze(1).to(values.dtype)
    start, end = (values.gather(2, index.unsqueeze(1).expand_as(values)) for index in (low, high))
    return torch.lerp(start, end, weight)


def joint_position(x: Tensor, joint: int, scores: Tensor | None) -> Tensor:
    """Return the position (N, C, T, M) of a joint, interpolated over time where it was not seen.

    If it was never seen, it is the mean of the person's joints, weighted by their scores.
    """
    if scores is None:
        return x[:, :, :, joint]
    known = scores[:, 0, :, joint] > 0
    mean = (x * scores).sum(3) / scores.sum(3).clamp(min=1e-12)
    return torch.where(known.any(1)[:, None, None], fill_over_time(x[:, :, :, joint], known), mean)


def _across(x: Tensor, layout: SkeletonLayout, scores: Tensor | None) -> Tensor:
    """Return the vector (N, C, T, M) from the left to the right shoulder, interpolated where one was not seen.

    It is zero for persons whose shoulders were never seen together.
    """
    left, right = layout.shoulders
    across = x[:, :, :, right] - x[:, :, :, left]
    if scores is None:
        return across
    known = (scores[:, 0, :, left] > 0) & (scores[:, 0, :, right] > 0)
    return fill_over_time(across, known) * known.any(1)[:, None, None]


def _median(values: Tensor, seen: Tensor) -> Tensor:
    """Return the lower median (N, C) of values (N, C, T) over the frames that are seen (N, T), or 0 without any."""
    if not exporting():
        return torch.where(seen.unsqueeze(1), values, torch.nan).nanmedian(2).values.nan_to_num()
    ordered = torch.where(seen.unsqueeze(1), values, torch.inf).sort(2).values  # ONNX has no median
    middle = ((seen.sum(1) - 1) // 2).clamp(min=0).view(-1, 1, 1).expand(-1, values.shape[1], 1)
    return torch.where(seen.any(1, keepdim=True), ordered.gather(2, middle).squeeze(2), 0.)


def centre_frames(x: Tensor, layout: SkeletonLayout, joint: int | None = None, scores: Tensor | None = None,
                  keep_height: bool = False) -> Tensor:
    """Subtract a joint, by default the layout's centre, in each frame and for each person separately.

    As in AimCLR and related methods (docs/methods.md 0.1 step 3), two persons lose their relative position.

    Args:
        x: (N, C, T, V, M).
        layout: Skeleton layout of the clips.
        joint: Joint to subtract.
        scores: (N, 1, T, V, M).
        keep_height: Subtract it horizontally only. Where y is 0 at the ground in all clips, as in motion capture, it
            then remains the height above the ground, which shows how a person carries themselves.
    """
    if keep_height:
        _check(x, 'centre_frames with keep_height')
    origin = joint_position(x, layout.centre if joint is None else joint, scores)
    if keep_height:
        origin = torch.stack([origin[:, 0], torch.zeros_like(origin[:, 1]), origin[:, 2]], 1)
    centred = x - origin.unsqueeze(3)
    return centred if scores is None else centred * (x != 0).any(3, keepdim=True).any(1, keepdim=True)


def align_shoulders(x: Tensor, layout: SkeletonLayout, scores: Tensor | None = None,
                    inside: Tensor | None = None) -> Tensor:
    """Rotate each frame of each person so that the shoulders lie along x.

    Source: AimCLR and related methods (docs/methods.md 0.1 step 5). As published, the angle has one sign for a
    person's whole clip. Frames that need the other sign are rotated the wrong way.

    Args:
        x: (N, 3, T, V, M).
        layout: Skeleton layout of the clips.
        scores: (N, 1, T, V, M). Persons whose shoulders were never seen together are not rotated.
        inside: (N, T) bool, the frames before the end of each clip, if clips of different lengths are padded.
    """
    _check(x, 'align_shoulders')
    across = _across(x, layout, scores)[:, ::2]  # (N, 2, T, M): x and z
    if scores is not None and inside is not None:  # the last direction seen is held, also after the end
        across = across * inside[:, None, :, None]
    length = across.square().sum(1).sqrt()
    cos = across[:, 0] / (length + 1e-4)
    angle = torch.arccos(cos.clamp(-1, 1))
    backwards = across[:, 1].sum(1, keepdim=True) >= 0
    angle = torch.where(backwards, -angle, angle)
    if scores is not None:
        angle = angle * length.any(1, keepdim=True)
    return _turn(x, angle.cos().unsqueeze(2), angle.sin().unsqueeze(2))


def align_sequence(x: Tensor, layout: SkeletonLayout, turn: bool = True, middle: bool = False,
                   scores: Tensor | None = None, joint: int | None = None) -> Tensor:
    """Translate and rotate a whole clip rigidly.

    The hip, or ``joint``, of the first person present moves to the origin in their first frame, and their median
    shoulder direction is rotated to x. The trajectory, the heading over time and the distance between two persons are
    preserved. For an even number of frames, the median is the lower of the two middle values, as in torch.

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
        scores: (N, 1, T, V, M). In 2D, too, the origin is then the position in the first frame with the person.
        joint: Joint that moves to the origin instead of the hip.
    """
    joint = layout.hip if joint is None else joint
    if not 0 <= joint < layout.num_joints:
        raise UserError(f'align_sequence: joint is {joint}, but layout {layout.name} has the joints 0 to '
                        f'{layout.num_joints - 1}')
    _check(x, 'align_sequence', (3,) if turn else (2, 3))
    there = (x != 0).any(1, keepdim=True)  # (N, 1, T, V, M)
    seen = there.any(3).squeeze(1)  # (N, T, M)
    n = torch.arange(len(x), device=x.device)
    main = seen.any(1).to(torch.uint8).argmax(1)  # the first person present in any frame
    first = seen[n, :, main].to(torch.uint8).argmax(1)
    if x.shape[1] == 3:
        there = there.any(3, keepdim=True)
    elif scores is None:
        hip = there[n, 0, :, joint, main]  # (N, T)
        first = torch.where(hip.any(1), hip.to(torch.uint8).argmax(1), first)
    hips = joint_position(x, joint, scores)  # (N, C, T, M)
    origin = hips[n, :, first, main].view(-1, x.shape[1], 1, 1, 1)
    if middle:
        who = seen[n, first].unsqueeze(1)  # (N, 1, M)
        origin = ((hips[n, :, first] * who).sum(2) / who.sum(2)).view(-1, x.shape[1], 1, 1, 1)
    if not turn:
        return (x - origin) * there
    across = _across(x, layout, scores)[n, :, :, main]  # (N, 3, T)
    across = _median(across, seen[n, :, main])
    length = (across[:, 0].square() + across[:, 2].square()).sqrt()
    known = length > 1e-6
    cos = torch.where(known, across[:, 0] / length, torch.ones_like(length)).view(-1, 1, 1, 1)
    sin = torch.where(known, -across[:, 2] / length, torch.zeros_like(length)).view(-1, 1, 1, 1)
    return _turn(x - origin, cos, sin) * there
