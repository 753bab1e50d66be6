"""Rules that detect a collapse: for the alarm during a run (KNNHook), and for the check of a finished run (doctor)."""
import math
from collections.abc import Mapping

MAX_COSINE, MIN_STD = 0.98, 0.05  # mean cosine of different clips, and feature std, beyond which features are alike
_LITTLE = 0.02  # share of the way from chance to a perfect contrast that counts as no progress


def features_alike(curves: Mapping[str, float], max_cosine: float = MAX_COSINE, min_std: float = MIN_STD) -> str | None:
    """Return a sentence if the encoder's features of different clips are nearly equal.

    Args:
        curves: ``val/mean_cosine`` and ``val/feature_std`` of one measurement. Missing values count as good.
        max_cosine, min_std: Thresholds.
    """
    cosine, std = curves.get('val/mean_cosine', 0.0), curves.get('val/feature_std', 1.0)
    if not (cosine <= max_cosine and std >= min_std):  # NaN counts as bad
        return f'different clips look alike to the encoder (mean cosine {cosine:.3f}, feature std {std:.3f})'
    return None


def views_lost(top1: float, cosine: float, batch_size: int, max_cosine: float = MAX_COSINE) -> str | None:
    """Return a sentence if the views of a clip do not find each other in the batch.

    Args:
        top1: ``batch_top1`` in percent, averaged over some iterations.
        cosine: ``batch_cosine``, the mean cosine between different clips; 0 if unknown.
        batch_size: Number of clips in a batch.
        max_cosine: Threshold of the cosine.
    """
    chance = 100 / max(batch_size, 1)
    if not (top1 >= min(2 * chance, 50) and cosine <= max_cosine):
        return (f'views do not find their own clip in the batch (top-1 {top1:.1f} %, chance {chance:.1f} %; '
                f'mean cosine between different clips {cosine:.3f})')
    return None


def loss_at_chance(loss: float, candidates: int, temperature: float) -> str | None:
    """Return a sentence if an InfoNCE loss is still that of embeddings that are all equal, log K.

    The loss of a perfect contrast, with cosine 1 to the positive and 0 to the negatives, depends on the temperature.
    The loss counts as at chance if it has covered less than 2 % of the way from log K to there.

    Args:
        loss: Mean over some iterations.
        candidates: K, the number of embeddings to choose from.
        temperature: Divisor of the similarities.
    """
    chance = math.log(max(candidates, 1))
    perfect = math.log1p((candidates - 1) * math.exp(-1 / temperature))
    if candidates > 1 and not chance - loss >= _LITTLE * (chance - perfect):
        return (f'the contrastive loss is {loss:.3f}, that of guessing among {candidates} embeddings '
                f'(log {candidates} = {chance:.3f})')
    return None
