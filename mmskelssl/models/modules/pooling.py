"""Pooling of a feature map to one feature per person."""
import torch
from torch import Tensor


def frame_mask(num_frames: Tensor, frames: int) -> Tensor:
    """Return a bool mask (N, T) of the real frames of padded clips."""
    return torch.arange(frames, device=num_frames.device) < num_frames.unsqueeze(1)


def masked_pool(features: Tensor, mask: Tensor) -> Tensor:
    """Average a feature map, weighted by a mask: semantic-aware pooling (ActCLR, section 3.3).

    Args:
        features: (N, M, D, T', V).
        mask: (N, M, T', V) in [0, 1].

    Returns:
        (N, M, D).
    """
    mass = mask.sum((2, 3)).unsqueeze(2) + 1e-5
    return torch.einsum('nmdtv,nmtv->nmd', features, mask.to(features.dtype)) / mass.to(features.dtype)
