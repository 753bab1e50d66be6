"""The three streams that methods train on: joints, bones and motion."""
import torch
from torch import Tensor

from mmskelssl.augment.tree import to_bones
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

STREAMS = ('joint', 'bone', 'motion')


def to_stream(x: Tensor, stream: str, layout: SkeletonLayout | None = None,
              num_frames: Tensor | None = None) -> Tensor:
    """Convert clips (N, C, T, V, M) to another stream of the same shape. Source: docs/methods.md 0.2.

    ``joint`` returns ``x`` itself. ``bone`` subtracts the parent from each joint and sets the root to 0. ``motion``
    subtracts each frame from the next and sets the last frame to 0. Bone and motion are linear in the coordinates, so
    they accept any number of channels.

    Args:
        x: Clips.
        stream: ``joint``, ``bone`` or ``motion``.
        layout: Skeleton layout, required for bones.
        num_frames: (N,) number of real frames of padded clips. The last real frame counts as the last frame.
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
        return motion.masked_fill_(beyond.view(x.shape[0], 1, -1, 1, 1), 0.)
    raise UserError(f'unknown stream {stream!r}: choose one of {", ".join(STREAMS)}')
