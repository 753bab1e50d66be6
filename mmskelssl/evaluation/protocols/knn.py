"""Nearest neighbours among the training clips, by cosine."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.protocols.base import Outcome, Task, all_queries, split_scores
from mmskelssl.evaluation.recipes import KNN, KNN_TEMPERATURE

RECIPES = KNN
DEFAULTS = ('1nn', '20nn')


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Yield the outcome of each recipe. All recipes share one product and one selection."""
    from mmskelssl.evaluation.knn import knn_scores
    start = time.perf_counter()
    votes = knn_scores(task.train.feats, task.train.labels, all_queries(task), [RECIPES[name] for name in recipes],
                       KNN_TEMPERATURE, task.classes)
    seconds = time.perf_counter() - start
    for name in recipes:
        scores = split_scores(task, votes[RECIPES[name]])
        if RECIPES[name] == 1:  # a single vote does not rank the other classes
            yield Outcome(name, predictions={test: vote.argmax(1) for test, vote in scores.items()}, seconds=seconds)
        else:
            yield Outcome(name, scores, seconds=seconds)
