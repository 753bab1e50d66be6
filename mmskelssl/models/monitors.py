"""Metrics that reveal a collapse that the loss does not show.

All are pure functions of features (N, D) and never synchronise with the device.
"""
import torch
from torch import Tensor
from torch.nn import functional as F


def feature_std(features: Tensor) -> Tensor:
    """Measure the spread of features: 1 if they cover the unit sphere evenly, 0 if all are equal.

    It is the standard deviation of each coordinate of the L2-normalised features, averaged over the coordinates and
    multiplied by sqrt(D).

    Args:
        features: (N, D).
    """
    unit = F.normalize(features.detach().float(), dim=1)
    return unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5


def mean_cosine(features: Tensor) -> Tensor:
    """Return the mean cosine similarity between different rows of features (N, D).

    It is 1 if all rows are equal and NaN for a single row.
    """
    unit = F.normalize(features.detach().float(), dim=1)
    n = unit.shape[0]
    # The sum over all pairs is the squared length of the sum: O(ND) instead of O(N²D).
    pairs = unit.sum(0).square().sum() - unit.square().sum()
    return pairs / (n * (n - 1)) if n > 1 else pairs * float('nan')


def effective_rank(features: Tensor) -> Tensor:
    """Number of directions that features (N, D) use: exp of the entropy of their normalised singular values.

    From 1, where all lie on one line, to min(N, D). The features are L2-normalised first. Source: Roy and Vetterli,
    EUSIPCO 2007; Garrido et al., ICML 2023 (RankMe).
    """
    unit = F.normalize(features.detach().double(), dim=1)  # double: the square root magnifies rounding errors
    gram = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=1e-12)
    return (-torch.special.xlogy(shares, shares).sum()).exp().float()


def in_batch_top1(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the percentage of queries (N, D) whose nearest key (N, D) by cosine is their own. Chance is 100 / N.

    A tie of r keys counts 1/r, so that collapsed features do not score 100.
    """
    q, k = F.normalize(queries.detach().float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    similarity = q @ k.T
    own = similarity.diagonal().unsqueeze(1)
    ahead = (similarity > own).any(1)
    ties = (similarity == own).sum(1)
    return 100 * ((~ahead).float() / ties.clamp(min=1)).mean()
