"""Linear probes on frozen features."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.protocols.base import Outcome, Task, all_queries, split_scores
from mmskelssl.evaluation.recipes import LINEAR

RECIPES = LINEAR
DEFAULTS = ('logreg', 'paper')


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Fit once per recipe and yield the outcome on all tests."""
    from mmskelssl.evaluation.linear import linear_probe
    from mmskelssl.evaluation.processes import deal

    def probe(name: str) -> Outcome:
        start = time.perf_counter()
        scores = linear_probe(task.train.feats, task.train.labels, all_queries(task), name, task.seed, task.classes)
        return Outcome(name, split_scores(task, scores), seconds=time.perf_counter() - start)
    yield from deal(probe, recipes)
