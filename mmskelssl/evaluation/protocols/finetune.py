"""Fine-tuning with all labels."""
import time
from collections.abc import Iterator, Sequence
from typing import cast

from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import FINETUNE, FinetuneRecipe

RECIPES = FINETUNE
DEFAULTS = ('small',)


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Train once per recipe and yield the outcome on all tests."""
    from mmskelssl.evaluation.processes import deal
    yield from deal(lambda name: tune(task, name, RECIPES[name], 'finetune'), recipes)


def tune(task: Task, name: str, recipe: FinetuneRecipe, what: str, **about) -> Outcome:
    """Fine-tune on the training clips of a task and score all its tests."""
    from mmskelssl.evaluation import finetuning
    from mmskelssl.models.base import SkeletonEncoder
    start = time.perf_counter()
    assert task.bank is not None  # set by `measure_encoder`
    bank = task.bank
    dataset, rows = bank.clips(task.train.ids)
    model = cast(SkeletonEncoder, bank.model)
    classifier = finetuning.finetune(model, dataset, rows, task.train.labels, recipe, task.classes, task.seed,
                                     f'{what} {name}', bank.progress)
    scores = {}
    for test, clips in task.tests.items():
        dataset, rows = bank.clips(clips.ids)
        scores[test] = finetuning.classify(classifier, dataset, rows, bank.batch_size)
    return Outcome(name, scores, seconds=time.perf_counter() - start, **about)
