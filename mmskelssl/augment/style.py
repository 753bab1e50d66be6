"""ActCLR's motion-adaptive transformations: another body's proportions, and keeping the actionlet.

Source: docs/methods.md 1.3, steps 6 and 7. Both are pure; the official joint one overwrites its input (1.6, item 4).
"""
from torch import Tensor
from torch.nn.functional import interpolate

from mmskelssl.augment.base import split_axes
from mmskelssl.augment.streams import STREAMS
from mmskelssl.augment.tree import from_bones, to_bones
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


def _borrow_lengths(bones: Tensor, shift: int) -> Tensor:
    """Bones (N, C, T, V, M) in their own direction, with the length that the partner's bone has in the same frame."""
    points = split_axes(bones, 'style transfer').unflatten(3, bones.shape[2:])
    length = (points.square().sum(2, keepdim=True) + 1e-5).sqrt()
    return (points * (length.roll(-shift, 0) / length)).view(bones.shape)


def transfer_style(x: Tensor, shift: int, stream: str, layout: SkeletonLayout) -> Tensor:
    """Give clip i the style of clip (i + shift) mod N.  (N, C, T, V, M) -> same shape.

    joint: every bone takes the partner's length, frame by frame, and the body is rebuilt from its root. bone: the
    vectors take the partner's lengths. motion: mean over the joints and standard deviation over time are exchanged.
    With C=6, lengths are those of each group of three channels.
    """
    if stream == 'joint':
        centre = layout.centre
        return from_bones(_borrow_lengths(to_bones(x, layout), shift), x[:, :, :, centre:centre + 1], layout)
    if stream == 'bone':
        return _borrow_lengths(x, shift)
    if stream == 'motion':
        mean = x.mean(3, keepdim=True)
        std = x.std(2, keepdim=True, correction=min(1, x.shape[2] - 1))  # a single frame has no spread, not NaN
        return (x - mean) / (std + 1e-3) * std.roll(-shift, 0) + mean.roll(-shift, 0)
    raise UserError(f'unknown stream {stream!r}: choose one of {", ".join(STREAMS)}')


def upsample_mask(mask: Tensor, frames: int, joints: int, persons: int) -> Tensor:
    """Actionlet mask from the feature grid to the clip: (N*M, 1, T', V') -> (N, 1, T, V, M), bilinear, corners aligned.

    Rows of ``mask`` run over the persons of the first clip, then of the second, and so on.
    """
    full = interpolate(mask, size=(frames, joints), mode='bilinear', align_corners=True)
    return full.view(-1, persons, 1, frames, joints).permute(0, 2, 3, 4, 1)


def blend(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a`` where the mask (N*M, 1, T', V') is 1, ``b`` where it is 0; clips (N, C, T, V, M)."""
    weight = upsample_mask(mask.to(a.dtype), *a.shape[2:])
    return weight * a + (1 - weight) * b
