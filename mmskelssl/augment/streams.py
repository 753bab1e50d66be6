"""The streams that methods train on: joints, bones, motion, and distances that no turn changes."""
import torch
from torch import Tensor

from mmskelssl.augment.invariant import CHANNELS, invariant_stream
from mmskelssl.augment.tree import to_bones
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

STREAMS = ('joint', 'bone', 'motion', 'invariant')


def to_stream(x: Tensor, stream: str, layout: SkeletonLayout | None = None,
              num_frames: Tensor | None = None, scores: Tensor | None = None) -> Tensor:
    """Convert clips (N, C, T, V, M) to another stream. Source: docs/methods.md 0.2.

    ``joint`` returns ``x`` itself. ``bone`` subtracts the parent from each joint and sets the root to 0. ``motion``
    subtracts each frame from the next and sets the last frame to 0. Bone and motion are linear in the coordinates, so
    they accept any number of channels and keep it. ``invariant`` turns 3 coordinates into 12 channels, see
    :func:`~mmskelssl.augment.invariant.invariant_stream`. :func:`stream_channels` gives the number of channels.

    Args:
        x: Clips.
        stream: ``joint``, ``bone``, ``motion`` or ``invariant``.
        layout: Skeleton layout, required for ``bone`` and ``invariant``.
        num_frames: (N,) number of real frames of padded clips. The last real frame counts as the last frame.
        scores: (N, 1, T, V, M) scores of the joints, used by ``invariant``.
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
    if stream == 'invariant':
        if layout is None:
            raise UserError('the invariant stream needs a skeleton layout')
        return invariant_stream(x, layout, num_frames, scores)
    raise UserError(f'unknown stream {stream!r}: choose one of {", ".join(STREAMS)}')


def stream_channels(stream: str, coordinates: int) -> int:
    """Return the number of channels of a stream of clips with ``coordinates`` per joint.

    Raises:
        UserError: If the stream cannot be made of so many coordinates.
    """
    if stream != 'invariant':
        return coordinates
    if coordinates != 3:
        raise UserError(f'stream invariant needs 3 coordinates per joint, but the clips have {coordinates}: choose '
                        'another stream')
    return CHANNELS
