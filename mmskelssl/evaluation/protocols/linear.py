"""Linear probes on frozen features."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.protocols.base import Outcome, Task, all_queries, split_scores
from mmskelssl.evaluation.recipes import LINEAR, LogRegCVRecipe, LogRegRecipe, SGDRecipe

RECIPES = LINEAR
DEFAULTS = ('logreg', 'paper')
OWN_DEFAULTS = ('logreg-cv', 'paper')


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Fit once per recipe and yield the outcome on all tests. Rows of ``logreg-cv`` have ``C`` and ``cv``."""
    from mmskelssl.evaluation.processes import deal
    yield from deal(lambda name: probe(task, name, RECIPES[name]), recipes)


def probe(task: Task, name: str, recipe: SGDRecipe | LogRegRecipe | LogRegCVRecipe) -> Outcome:
    """Fit one probe on the training features and predict all tests."""
    from mmskelssl.evaluation.cross_validation import choose_c
    from mmskelssl.evaluation.linear import linear_probe
    start, train, numbers = time.perf_counter(), task.train, {}
    if isinstance(recipe, LogRegCVRecipe):
        choice = choose_c(recipe, train.feats, train.labels, train.subjects, task.seed)
        recipe, numbers = choice.recipe, dict.fromkeys(task.tests, choice.numbers())
    scores = linear_probe(train.feats, train.labels, all_queries(task), recipe, task.seed, task.classes)
    return Outcome(name, split_scores(task, scores), numbers=numbers, seconds=time.perf_counter() - start)
