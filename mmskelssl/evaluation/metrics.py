"""Accuracies in percent, and how sure they are."""
import numpy as np

from mmskelssl.errors import UserError


def accuracies(labels: np.ndarray, predictions: np.ndarray, scores: np.ndarray | None = None) -> dict:
    """Accuracies of a classifier.

    Args:
        labels: (N,) integers.
        predictions: (N,) integers.
        scores: (N, classes), higher is better; gives the top 5.

    Returns:
        ``top1``, ``top5`` (None without scores, or with 5 classes or fewer, where it says nothing), ``mean_class``
        (mean over the classes present of each one's top 1), ``per_class`` (those, by class number), ``ci95`` ([low,
        high] of top 1); all in percent.
    """
    labels = np.asarray(labels)
    if not len(labels):
        raise UserError('there are no test samples to measure on')
    correct = np.asarray(predictions) == labels
    per_class = {int(c): 100 * float(correct[labels == c].mean()) for c in np.unique(labels)}
    return dict(top1=100 * float(correct.mean()), top5=top_k(labels, scores, 5),
                mean_class=float(np.mean([*per_class.values()])), per_class=per_class, ci95=bootstrap_interval(correct))


def top_k(labels: np.ndarray, scores: np.ndarray | None, k: int) -> float | None:
    """Percent of the samples whose class is among the ``k`` best scored ones. Ties count against the sample."""
    if scores is None or scores.shape[1] <= k:
        return None
    own = scores[np.arange(len(labels)), labels]
    return 100 * float(np.mean((scores >= own[:, None]).sum(1) <= k))


def bootstrap_interval(correct: np.ndarray, resamples: int = 1000, seed: int = 0) -> list[float]:
    """95 % percentile interval of an accuracy, by resampling the test samples with a fixed seed; percent.

    Args:
        correct: (N,) booleans.
    """
    n = len(correct)
    # The number of hits in a resample of N zeros and ones is exactly binomial: no need to draw N indices.
    hits = np.random.default_rng(seed).binomial(n, np.mean(correct), resamples)
    return [float(v) for v in np.percentile(100 * hits / n, [2.5, 97.5])]


def bootstrap_mean(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> list[float]:
    """95 % percentile interval of a mean, by resampling rows with a fixed seed."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    return [float(value) for value in np.percentile(means, [2.5, 97.5])]


def match_clusters(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Clusters as classes, under the one-to-one match with the most hits (Hungarian method).

    Args:
        labels: (N,) classes.
        clusters: (N,) cluster numbers.

    Returns:
        (N,) classes; -1 for clusters that get none, where there are more of them than classes.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix
    table = contingency_matrix(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    classes = np.full(table.shape[1], -1)
    classes[columns] = np.unique(labels)[rows]
    return classes[np.unique(clusters, return_inverse=True)[1]]
