"""ActCLR's motion-adaptive transformations: transfer another body's proportions and keep the actionlet.

Source: docs/methods.md 1.3, steps 6 and 7. Both functions are pure. The official version for joints overwrites its
input (1.6, item 4).
"""
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mmskelssl.augment.base import split_axes
from mmskelssl.augment.mixing import partners
from mmskelssl.augment.streams import STREAMS
from mmskelssl.augment.tree import from_bones, to_bones
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


def _borrow_lengths(bones: Tensor, shift: int | Tensor) -> Tensor:
    """Scale bones (N, C, T, V, M) to the length of the partner's bone in the same frame, keeping their direction."""
    points = split_axes(bones, 'style transfer').unflatten(3, bones.shape[2:])
    length = (points.square().sum(2, keepdim=True) + 1e-5).sqrt()
    return (points * (partners(length, shift) / length)).view(bones.shape)


def transfer_style(x: Tensor, shift: int | Tensor, stream: str, layout: SkeletonLayout, scores: int = 0) -> Tensor:
    """Transfer the style of clip (i + shift) mod N to clip i. Clips (N, C, T, V, M) keep their shape.

    For ``joint``, every bone takes the partner's length, frame by frame, and the body is rebuilt from its root. For
    ``bone``, the vectors take the partner's lengths. For ``motion`` and ``invariant``, whose channels need not be
    vectors, the mean over the joints and the standard deviation over time are replaced with the partner's. With C=6,
    each group of three channels has its own lengths. The last ``scores`` channels are scores of joints. Style is a
    matter of coordinates, so each joint keeps its score.
    """
    if scores:
        coordinates, last = x.split([x.shape[1] - scores, scores], 1)
        return torch.cat([transfer_style(coordinates, shift, stream, layout), last], 1)
    if stream == 'joint':
        centre = layout.centre
        return from_bones(_borrow_lengths(to_bones(x, layout), shift), x[:, :, :, centre:centre + 1], layout)
    if stream == 'bone':
        return _borrow_lengths(x, shift)
    if stream in ('motion', 'invariant'):
        mean = x.mean(3, keepdim=True)
        std = x.std(2, keepdim=True, correction=min(1, x.shape[2] - 1))  # a single frame gets 0 instead of NaN
        return (x - mean) / (std + 1e-3) * partners(std, shift) + partners(mean, shift)
    raise UserError(f'unknown stream {stream!r}: choose one of {", ".join(STREAMS)}')


def upsample_mask(mask: Tensor, frames: int, joints: int, persons: int) -> Tensor:
    """Upsample an actionlet mask (N*M, 1, T', V') from the feature grid to the clip grid (N, 1, T, V, M).

    The interpolation is bilinear with aligned corners. The rows of ``mask`` list the persons of the first clip, then
    those of the second, and so on.
    """
    full = interpolate(mask, size=(frames, joints), mode='bilinear', align_corners=True)
    return full.view(-1, persons, 1, frames, joints).permute(0, 2, 3, 4, 1)


def blend(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Blend clips (N, C, T, V, M): ``a`` where the mask (N*M, 1, T', V') is 1, ``b`` where it is 0."""
    weight = upsample_mask(mask.to(a.dtype), *a.shape[2:])
    return weight * a + (1 - weight) * b
