"""From a feature map to one feature per person."""
import torch
from torch import Tensor


def frame_mask(num_frames: Tensor, frames: int) -> Tensor:
    """(N, T) bool: which frames of padded clips are real."""
    return torch.arange(frames, device=num_frames.device) < num_frames.unsqueeze(1)


def masked_pool(features: Tensor, mask: Tensor) -> Tensor:
    """Semantic-aware pooling (ActCLR, section 3.3): the mean of a map under a mask.

    Args:
        features: (N, M, D, T', V).
        mask: (N, M, T', V), in [0, 1].

    Returns:
        (N, M, D).
    """
    mass = mask.sum((2, 3)).unsqueeze(2) + 1e-5
    return torch.einsum('nmdtv,nmtv->nmd', features, mask.to(features.dtype)) / mass.to(features.dtype)
