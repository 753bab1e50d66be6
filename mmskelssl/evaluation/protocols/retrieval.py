"""Retrieval of training clips of the same class with test clips as queries."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.metrics import interval
from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import RETRIEVAL

RECIPES = RETRIEVAL
DEFAULTS = ('cosine',)
SCORED = False  # the protocol does not rank the classes


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Yield ``map`` with its interval and ``recall`` by rank, in percent. Top 1 uses the class of the first clip."""
    from mmskelssl.evaluation.processes import deal
    from mmskelssl.evaluation.retrieval import retrieve

    def rank(name: str) -> Outcome:
        start, predictions, precisions, numbers = time.perf_counter(), {}, {}, {}
        for test, queries in task.tests.items():
            nearest, precision, recall = retrieve(task.train.feats, task.train.labels, queries.feats, queries.labels,
                                                  RECIPES[name])
            predictions[test], precisions[test] = task.train.labels[nearest], precision
            numbers[test] = {'map': 100 * float(precision.mean()),
                             'map_ci95': interval(precision),
                             'recall': {rank: 100 * float(found.mean()) for rank, found in recall.items()}}
        return Outcome(name, predictions=predictions, numbers=numbers, seconds=time.perf_counter() - start,
                       precision=precisions)
    yield from deal(rank, recipes)
