"""Numbers that show a collapse where the loss does not. Pure functions of features (N, D); no synchronisation."""
from torch import Tensor
from torch.nn import functional as F


def feature_std(features: Tensor) -> Tensor:
    """Spread of features: 1 where they fill the unit sphere evenly, 0 where all are alike.

    Standard deviation of each coordinate of the L2-normalised features, averaged, times sqrt(D).

    Args:
        features: (N, D).
    """
    unit = F.normalize(features.detach().float(), dim=1)
    return unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5


def mean_cosine(features: Tensor) -> Tensor:
    """Mean cosine between different rows of features (N, D): 1 where all are alike; NaN for a single row."""
    unit = F.normalize(features.detach().float(), dim=1)
    n = unit.shape[0]
    # The sum over all pairs is the squared length of the sum: O(ND) instead of O(N²D).
    pairs = unit.sum(0).square().sum() - unit.square().sum()
    return pairs / (n * (n - 1)) if n > 1 else pairs * float('nan')


def in_batch_top1(queries: Tensor, keys: Tensor) -> Tensor:
    """Percent of the queries (N, D) whose nearest key, by cosine, is their own among keys (N, D). Chance is 100 / N.

    A tie of r keys counts 1/r, so that collapsed features do not score 100.
    """
    q, k = F.normalize(queries.detach().float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    similarity = q @ k.T
    own = similarity.diagonal().unsqueeze(1)
    ahead = (similarity > own).any(1)
    ties = (similarity == own).sum(1)
    return 100 * ((~ahead).float() / ties.clamp(min=1)).mean()
