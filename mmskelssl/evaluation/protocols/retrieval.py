"""Retrieval: test clips ask, training clips of the same class should come first."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.metrics import bootstrap_mean
from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import RETRIEVAL

RECIPES = RETRIEVAL
DEFAULTS = ('cosine',)
SCORED = False  # nothing ranks the classes


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """``map`` with its interval and ``recall`` by rank, in percent; top 1 is the class of the first clip found."""
    from mmskelssl.evaluation.retrieval import retrieve
    for name in recipes:
        start, predictions, numbers = time.perf_counter(), {}, {}
        for test, queries in task.tests.items():
            nearest, precision, recall = retrieve(task.train.feats, task.train.labels, queries.feats, queries.labels,
                                                  RECIPES[name])
            predictions[test] = task.train.labels[nearest]
            numbers[test] = {'map': 100 * float(precision.mean()),
                             'map_ci95': [100 * value for value in bootstrap_mean(precision)],
                             'recall': {rank: 100 * float(found.mean()) for rank, found in recall.items()}}
        yield Outcome(name, predictions=predictions, numbers=numbers, seconds=time.perf_counter() - start)
