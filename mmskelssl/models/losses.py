"""Losses as pure functions of tensors. N samples, D dimensions, K queue entries.

All of them compute in float32 (float64 stays float64), whatever the autocast context: at temperatures of 0.04 to
0.2 the eight mantissa bits of bfloat16 would be visible in the logits.
"""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.ops.precision import full_precision


@full_precision
def contrast_logits(query: Tensor, key: Tensor, negatives: Tensor, temperature: float,
                    in_batch: bool = False, extra: Tensor | None = None) -> Tensor:
    """Similarities of each query to its key (column 0) and to the negatives.

    Args:
        query, key: (N, D), L2-normalised.
        negatives: (D, K).
        in_batch: Also take the other samples' keys as negatives: N - 1 more columns. They are as fresh as the
            positive, so that telling new keys from old ones solves nothing (a small data set's short cut).
        extra: (N, D), one more negative for each query alone.

    Returns:
        (N, 1 + K), and N - 1 more columns for ``in_batch``, one more for ``extra``; divided by the temperature.
    """
    columns = [(query * key).sum(1, keepdim=True), query @ negatives]
    if in_batch and len(query) > 1:
        others = ~torch.eye(len(query), dtype=torch.bool, device=query.device)
        columns.append((query @ key.t())[others].view(len(query), -1))
    if extra is not None:
        columns.append((query * extra).sum(1, keepdim=True))
    return torch.cat(columns, 1) / temperature


@full_precision
def info_nce(logits: Tensor, positives: Tensor | None = None) -> Tensor:
    """InfoNCE with column 0 as the positive, or with every column of the mask ``positives`` (N, columns) as one.

    Several positives share the loss equally (AimCLR, section 3.3).
    """
    if positives is None:
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
    log_prob = F.log_softmax(logits, 1)
    return -((log_prob * positives).sum(1) / positives.sum(1)).mean()


@full_precision
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (SimCLR, Chen et al., ICML 2020, equation 1).

    Each of the 2N embeddings has to find its clip's other view among the 2N - 1 others.

    Args:
        first, second: (N, D), L2-normalised: two views of the same clips.
    """
    both = torch.cat([first, second])
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    logits = (both @ both.t() / temperature).masked_fill(itself, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(both), device=both.device).roll(len(first)))


@full_precision
def ddm(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Distributional divergence minimisation (AimCLR, section 3.2): cross entropy to a detached view's softmax."""
    return -(F.softmax(target_logits.detach(), 1) * F.log_softmax(logits, 1)).sum(1).mean()


@full_precision
def masked_reconstruction(prediction: Tensor, target: Tensor, num_frames: Tensor) -> Tensor:
    """Squared error summed over a clip's real frames and coordinates, over its length; mean over the batch (CRRL).

    Args:
        prediction, target: (N, T, D). What stands beyond a clip's end does not matter.
        num_frames: (N,) real frames, at least 1.
    """
    beyond = torch.arange(target.shape[1], device=target.device) >= num_frames.unsqueeze(1)
    # Masked before it is squared: not even infinity there reaches the gradient.
    error = (prediction - target).masked_fill(beyond.unsqueeze(2), 0.).square()
    return (error.sum((1, 2)) / num_frames).mean()


@full_precision
def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of features (N, D) to a detached teacher's, summed over D; mean over the batch (CRRL)."""
    return (student - teacher.detach()).square().sum(1).mean()
