"""Accuracies in percent, and how sure they are."""
import numpy as np


def accuracies(labels: np.ndarray, predictions: np.ndarray, scores: np.ndarray | None = None) -> dict:
    """Accuracies of a classifier.

    Args:
        labels: (N,) integers.
        predictions: (N,) integers.
        scores: (N, classes), higher is better; gives the top 5.

    Returns:
        ``top1``, ``top5`` (None without scores, or with 5 classes or fewer, where it says nothing), ``mean_class``
        (mean over the classes present of each one's top 1), ``ci95`` ([low, high] of top 1); all in percent.
    """
    labels = np.asarray(labels)
    correct = np.asarray(predictions) == labels
    return dict(top1=100 * float(correct.mean()), top5=top_k(labels, scores, 5),
                mean_class=100 * float(np.mean([correct[labels == c].mean() for c in np.unique(labels)])),
                ci95=bootstrap_interval(correct))


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
