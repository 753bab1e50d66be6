"""Fine-tuning with all labels."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import FINETUNE, FinetuneRecipe

RECIPES = FINETUNE
DEFAULTS = ('small',)


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """A training a recipe, for all tests."""
    for name in recipes:
        yield tune(task, name, RECIPES[name], 'finetune')


def tune(task: Task, name: str, recipe: FinetuneRecipe, what: str, **about) -> Outcome:
    """Fine-tune on the training clips of a task, score all its tests."""
    from mmskelssl.evaluation import finetuning
    start = time.perf_counter()
    dataset, rows = task.bank.clips(task.train.ids)
    classifier = finetuning.finetune(task.bank.model, dataset, rows, task.train.labels, recipe, task.classes, task.seed,
                                     f'{what} {name}', task.bank.progress)
    scores = {test: finetuning.classify(classifier, *task.bank.clips(clips.ids), task.bank.batch_size)
              for test, clips in task.tests.items()}
    return Outcome(name, scores, seconds=time.perf_counter() - start, **about)
