"""Accuracies in percent and their confidence intervals."""
import math

import numpy as np

from mmskelssl.errors import UserError

FEW = 10  # samples that deviate; with fewer the bootstrap's intervals are too narrow


def accuracies(labels: np.ndarray, predictions: np.ndarray, scores: np.ndarray | None = None) -> dict:
    """Compute the accuracies of a classifier.

    Args:
        labels: (N,) integers.
        predictions: (N,) integers.
        scores: (N, classes), higher is better. Required for the top-5 accuracy.

    Returns:
        A dict of accuracies in percent. ``top5`` is None without scores and for 5 classes or fewer, where it is
        meaningless. ``per_class`` maps class numbers to top-1 accuracies, and ``mean_class`` is their mean over the
        classes present. ``ci95`` is the interval [low, high] of ``top1``.

    Raises:
        UserError: If there are no samples.
    """
    labels = np.asarray(labels)
    if not len(labels):
        raise UserError('no test samples to evaluate on')
    correct = np.asarray(predictions) == labels
    per_class = {int(c): 100 * float(correct[labels == c].mean()) for c in np.unique(labels)}
    return dict(top1=100 * float(correct.mean()), top5=top_k(labels, scores, 5),
                mean_class=float(np.mean([*per_class.values()])), per_class=per_class, ci95=interval(correct))


def top_k(labels: np.ndarray, scores: np.ndarray | None, k: int) -> float | None:
    """Return the percentage of samples whose class is among the ``k`` highest scores. Ties count as errors."""
    if scores is None or scores.shape[1] <= k:
        return None
    own = scores[np.arange(len(labels)), labels]
    return 100 * float(np.mean((scores >= own[:, None]).sum(1) <= k))


def interval(values: np.ndarray) -> list[float]:
    """95 % interval of a mean over test samples; percent.

    It is the bootstrap's, or Wilson's where fewer than :data:`FEW` samples deviate from the most common value. There
    the bootstrap is too narrow: if no sample deviates, its width is zero, even for a dozen samples.

    Args:
        values: (N,) booleans, or numbers in 0..1.
    """
    values = np.asarray(values)
    if len(values) - np.unique(values, return_counts=True)[1].max() < FEW:
        return wilson_interval(float(values.mean()), len(values))
    return bootstrap_interval(values) if values.dtype == bool else [100 * v for v in bootstrap_mean(values)]


def wilson_interval(share: float, count: int) -> list[float]:
    """95 % score interval of a share (0..1) of ``count`` samples; percent. Wilson, JASA 22 (1927)."""
    z = 1.959964
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    # The bounds of 0 and 1 are exact; rounding would move them.
    return [0. if share == 0 else 100 * (centre - half), 100. if share == 1 else 100 * (centre + half)]


def bootstrap_interval(correct: np.ndarray, resamples: int = 1000, seed: int = 0) -> list[float]:
    """Return the 95 % percentile bootstrap interval of an accuracy, in percent.

    Args:
        correct: (N,) booleans.
        resamples: Number of resamples of the test samples.
        seed: Seed of the resampling.
    """
    n = len(correct)
    # The number of hits in a resample of N zeros and ones is exactly binomial, so N indices need not be drawn.
    hits = np.random.default_rng(seed).binomial(n, np.mean(correct), resamples)
    return [float(v) for v in np.percentile(100 * hits / n, [2.5, 97.5])]


def bootstrap_mean(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> list[float]:
    """Return the 95 % percentile bootstrap interval of a mean over rows, with a fixed seed."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    return [float(value) for value in np.percentile(means, [2.5, 97.5])]


def match_clusters(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Map clusters to classes by the one-to-one assignment with the most hits (Hungarian method).

    Args:
        labels: (N,) classes.
        clusters: (N,) cluster numbers.

    Returns:
        (N,) classes. If there are more clusters than classes, unassigned clusters get -1.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix
    table = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    classes = np.full(table.shape[1], -1)
    classes[columns] = np.unique(labels)[rows]
    return classes[np.unique(clusters, return_inverse=True)[1]]
