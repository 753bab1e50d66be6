"""Where the predictions of a page are wrong: the confusion matrix, the classes, and the clips to look at."""
import numpy as np

from mmskelssl.evaluation.metrics import interval
from mmskelssl.report.charts import Chart, intervals
from mmskelssl.report.measures import Predictions

MATRIX = 60  # classes; larger matrices cannot be read
PAIRS = 60  # most frequent confusions that are listed
LISTED = 20
BARS = 120  # classes with a bar


def order_by_similarity(features: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return classes so that those with similar features follow each other (average linkage of the mean features)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    if len(classes) < 3:
        return classes
    means = np.stack([features[labels == c].mean(0) if (labels == c).any() else features.mean(0) for c in classes])
    means = means - means.mean(0)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return classes[leaves_list(linkage(means / np.where(norms > 0, norms, 1), 'average', optimal_ordering=True))]


def confusion(predictions: Predictions, features: np.ndarray, names: list[str], place: dict[int, int]) -> dict:
    """Return the part of the page.

    Args:
        predictions: Of N test clips.
        features: (N, D) their features.
        names: Names of the classes.
        place: Position in the store -> clip of the page.
    """
    labels, predicted = predictions.labels, predictions.predicted
    classes = order_by_similarity(features, labels, np.union1d(labels, predicted))
    supports = {int(c): int((labels == c).sum()) for c in classes}
    cells = []
    for (true, guess), count in _counted(labels, predicted):
        rows = predictions.rows[(labels == true) & (predicted == guess)]
        cells.append(dict(true=true, predicted=guess, count=count, percent=100 * count / supports[true],
                          clips=[place[int(row)] for row in rows if int(row) in place]))
    wrong = np.flatnonzero(labels != predicted)
    surest = wrong[np.argsort(-predictions.confidence[wrong], kind='stable')]
    unsure = np.argsort(predictions.confidence, kind='stable')
    shown = classes if len(classes) <= MATRIX else classes[:0]
    return dict(
        by=predictions.by, total=len(labels), wrong=len(wrong), names=names,
        order=[int(c) for c in shown], rows=[int(c) for c in shown if supports[int(c)]], supports=supports,
        cells={f'{cell["true"]} {cell["predicted"]}': cell for cell in cells}, table=cells,
        confused=[cell for cell in cells if cell['true'] != cell['predicted']][:PAIRS],
        surest=_listed(predictions, surest, place), unsure=_listed(predictions, unsure, place),
        chart=_bars(predictions, classes, names))


def _counted(labels: np.ndarray, predicted: np.ndarray) -> list[tuple[tuple[int, int], int]]:
    """Return (true, predicted) and the number of clips, the most frequent first."""
    pairs, counts = np.unique(np.stack([labels, predicted], 1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    return [((int(pairs[i, 0]), int(pairs[i, 1])), int(counts[i])) for i in order]


def _listed(predictions: Predictions, order: np.ndarray, place: dict[int, int]) -> list[dict]:
    """Return the first clips of an order that are on the page."""
    there = [i for i in order if int(predictions.rows[i]) in place][:LISTED]
    return [dict(clip=place[int(predictions.rows[i])], true=int(predictions.labels[i]),
                 predicted=int(predictions.predicted[i]), confidence=float(predictions.confidence[i])) for i in there]


def _bars(predictions: Predictions, classes: np.ndarray, names: list[str]) -> Chart | None:
    correct = predictions.labels == predictions.predicted
    tested = [int(c) for c in classes if (predictions.labels == c).any()]
    if not tested or len(tested) > BARS:
        return None
    own = [correct[predictions.labels == c] for c in tested]
    bounds = [interval(hits) for hits in own]
    return intervals('per-class', 'Accuracy of each class', [names[c] for c in tested],
                     [100 * float(hits.mean()) for hits in own], [(low, high) for low, high in bounds],
                     [len(hits) for hits in own])
