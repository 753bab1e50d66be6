"""Linear probes on frozen features."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.protocols.base import Outcome, Task, all_queries, split_scores
from mmskelssl.evaluation.recipes import LINEAR, LogRegCVRecipe, LogRegRecipe

RECIPES = LINEAR
DEFAULTS = ('logreg', 'paper')
OWN_DEFAULTS = ('logreg-cv', 'paper')


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Fit once per recipe and yield the outcome on all tests. Rows of ``logreg-cv`` have ``C`` and ``cv``."""
    from mmskelssl.evaluation.cross_validation import choose_c
    from mmskelssl.evaluation.linear import linear_probe
    from mmskelssl.evaluation.processes import deal
    train = task.train

    def probe(name: str) -> Outcome:
        start, recipe, numbers = time.perf_counter(), RECIPES[name], {}
        fitted: str | LogRegRecipe = name
        if isinstance(recipe, LogRegCVRecipe):
            choice = choose_c(recipe, train.feats, train.labels, train.subjects, task.seed)
            fitted, numbers = choice.recipe, dict.fromkeys(task.tests, choice.numbers())
        scores = linear_probe(train.feats, train.labels, all_queries(task), fitted, task.seed, task.classes)
        return Outcome(name, split_scores(task, scores), numbers=numbers, seconds=time.perf_counter() - start)
    yield from deal(probe, recipes)
