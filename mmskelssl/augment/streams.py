"""The three views of a skeleton that methods train on: joints, bones, motion."""
import torch
from torch import Tensor

from mmskelssl.augment.tree import to_bones
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

STREAMS = ('joint', 'bone', 'motion')


def to_stream(x: Tensor, stream: str, layout: SkeletonLayout | None = None,
              num_frames: Tensor | None = None) -> Tensor:
    """Clips (N, C, T, V, M) in another stream, same shape. Source: docs/methods.md 0.2.

    bone: joint less parent, root 0 (needs ``layout``). motion: next frame less this one, last frame 0. Both are
    linear in the coordinates, so any number of channels will do. joint: ``x`` itself.

    Args:
        num_frames: (N,) real frames of padded clips: the last real one counts as the last frame.
    """
    if stream == 'joint':
        return x
    if stream == 'bone':
        if layout is None:
            raise UserError('the bone stream needs a skeleton layout')
        return to_bones(x, layout)
    if stream == 'motion':
        motion = torch.cat((x[:, :, 1:] - x[:, :, :-1], torch.zeros_like(x[:, :, :1])), dim=2)
        if num_frames is None:
            return motion
        beyond = torch.arange(1, x.shape[2] + 1, device=x.device) >= num_frames.unsqueeze(1)
        return motion.masked_fill_(beyond.view(len(x), 1, -1, 1, 1), 0.)
    raise UserError(f'unknown stream {stream!r}: choose one of {", ".join(STREAMS)}')
