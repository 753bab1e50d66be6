"""Accuracies in percent and their confidence intervals."""
import numpy as np

from mmskelssl.errors import UserError


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
                mean_class=float(np.mean([*per_class.values()])), per_class=per_class, ci95=bootstrap_interval(correct))


def top_k(labels: np.ndarray, scores: np.ndarray | None, k: int) -> float | None:
    """Return the percentage of samples whose class is among the ``k`` highest scores. Ties count as errors."""
    if scores is None or scores.shape[1] <= k:
        return None
    own = scores[np.arange(len(labels)), labels]
    return 100 * float(np.mean((scores >= own[:, None]).sum(1) <= k))


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
