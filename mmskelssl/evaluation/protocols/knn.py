"""Nearest neighbours among the training clips, by cosine."""
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mmskelssl.evaluation.protocols.base import Outcome, Task, all_queries, split_scores
from mmskelssl.evaluation.recipes import KNN, KNN_TEMPERATURE, BankRecipe

RECIPES = KNN
DEFAULTS = ('1nn', '20nn')


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Yield the outcome of each recipe. Recipes on the whole bank share one product and one selection.

    Recipes on a part of it add ``bank`` (its number of clips), ``draws`` (top 1 of each part, in percent) and
    ``draws_std`` (their standard deviation) to the rows.
    """
    from mmengine.dist import is_main_process

    from mmskelssl.evaluation.knn import knn_scores
    counts = {name: recipe for name in recipes if not isinstance(recipe := RECIPES[name], BankRecipe)}
    start, votes = time.perf_counter(), {}
    if counts:
        votes = knn_scores(task.train.feats, task.train.labels, all_queries(task), list(counts.values()),
                           KNN_TEMPERATURE, task.classes)
    seconds = time.perf_counter() - start
    for name in recipes:
        recipe = RECIPES[name]
        bank = len(task.train) if not isinstance(recipe, BankRecipe) else min(recipe.size, len(task.train))
        if bank < (k := recipe.k if isinstance(recipe, BankRecipe) else recipe) and is_main_process():
            print(f'note: knn {name}: there are only {bank} training clips, and all of them vote instead of {k}')
        if isinstance(recipe, BankRecipe):
            yield _on_parts(task, name, recipe)
        else:
            yield _outcome(name, recipe, split_scores(task, votes[recipe]), seconds=seconds)


def _outcome(name: str, k: int, scores: Mapping[str, np.ndarray], **about) -> Outcome:
    if k > 1:
        return Outcome(name, scores, **about)
    # A single vote does not rank the other classes.
    return Outcome(name, predictions={test: vote.argmax(1) for test, vote in scores.items()}, **about)


def _on_parts(task: Task, name: str, recipe: BankRecipe) -> Outcome:
    from mmskelssl.evaluation.knn import knn_scores
    start, outcomes, rows = time.perf_counter(), [], []
    size = min(recipe.size, len(task.train))
    for draw in range(recipe.draws):
        rows.append(np.sort(np.random.default_rng((task.seed, draw)).choice(len(task.train), size, replace=False)))
        votes = knn_scores(task.train.feats[rows[-1]], task.train.labels[rows[-1]], all_queries(task), [recipe.k],
                           KNN_TEMPERATURE, task.classes)[recipe.k]
        outcomes.append(_outcome(name, recipe.k, split_scores(task, votes)))
    numbers = {}
    for test, clips in task.tests.items():
        top1 = [100 * float((outcome.predicted(test) == clips.labels).mean()) for outcome in outcomes]
        numbers[test] = dict(bank=size, draws=top1, draws_std=float(np.std(top1)))
        print(f'{name} on {test}: {np.mean(top1):.1f} +- {np.std(top1):.1f} % over {recipe.draws} draws of {size} of '
              f'{len(task.train)} training clips')
    first = outcomes[0]
    return Outcome(name, first.scores, first.predictions, numbers, time.perf_counter() - start,
                   [task.train.ids[row] for row in rows[0]])
