"""A batch of clips of different lengths between two transforms, as tensors on any device."""
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmskelssl.layouts import SkeletonLayout


@dataclass(frozen=True)
class ClipBatch:
    """Clips that are padded to one shape. ``batch`` of a transform maps one to the next.

    No step branches on values of tensors, so that a device never waits for the host and ``torch.export`` can trace a
    pipeline.

    Args:
        x: (N, C, T, V, M) float32. Frames after the end of a clip, and persons whom it lacks, are all zeros.
        layout: Layout of the joints.
        lengths: (N,) int64, the number of frames of each clip.
        num_frames: (N,) int64, the number of real frames, which come first; None until a step needs it.
        scores: (N, 1, T, V, M) float32, or None.
        refused: (N,) bool, the clips that a transform cannot process, or None before any step could refuse one.
    """
    x: Tensor
    layout: SkeletonLayout
    lengths: Tensor
    num_frames: Tensor | None = None
    scores: Tensor | None = None
    refused: Tensor | None = None

    def having(self, **changes) -> 'ClipBatch':
        """Return the batch with other values."""
        return replace(self, **changes)

    def refusing(self, clips: Tensor) -> 'ClipBatch':
        """Return the batch with further refused clips (N,) bool."""
        return self.having(refused=clips if self.refused is None else self.refused | clips)

    def inside(self) -> Tensor:
        """Return (N, T) bool: the frames before the end of each clip."""
        return torch.arange(self.x.shape[2], device=self.x.device) < self.lengths[:, None]

    def counted(self) -> 'ClipBatch':
        """Return the batch with ``num_frames``, as :func:`~mmskelssl.datasets.transforms.frames.valid_frames` counts.

        Clips without a body are refused.
        """
        if self.num_frames is not None:
            return self
        count = (self.x[:, :, :, 0, 0].abs().sum(1) != 0).sum(1)
        counted = self.having(num_frames=torch.where(count == 0, self.lengths, count))
        return counted.refusing(~(self.x != 0).flatten(1).any(1))


def has_batch(step) -> bool:
    """Return whether a transform has a batched form, ``batch``, of the same class as its ``transform``.

    A subclass that replaces ``transform`` alone has none.
    """
    kinds = type(step).__mro__
    batch = next((i for i, kind in enumerate(kinds) if 'batch' in vars(kind)), None)
    return batch is not None and batch <= next(i for i, kind in enumerate(kinds) if 'transform' in vars(kind))
