"""Fine-tuning with all labels."""
import time
from collections.abc import Iterator, Sequence

from mmskelssl.evaluation import finetuning
from mmskelssl.evaluation.finetuning import FinetuneRecipe
from mmskelssl.evaluation.protocols.base import Outcome, Task

# Published ones differ in what they leave open (docs/methods.md 1.5, 2.5, 3.5). SkeAttnCLR has a learning rate for each
# cell of its table; this is that of NTU-60 x-sub, joint stream. CRRL's code gives the encoder the layer's rate after
# the first step; here each keeps its own.
RECIPES = {
    'small': FinetuneRecipe(lr=5e-4, head_lr=5e-3, epochs=20, batch_size=32, optimizer='adamw', weight_decay=.01,
                            min_steps=150),
    'paper-actclr': FinetuneRecipe(lr=.1, epochs=80, nesterov=True, weight_decay=1e-4, steps=(10, 50)),
    'paper-skeattnclr': FinetuneRecipe(lr=.008, epochs=150, steps=(60, 100), frozen_norm=True, head_std=.02),
    'paper-crrl': FinetuneRecipe(lr=.01, head_lr=.1, epochs=85, batch_size=16, nesterov=True, gamma=.5,
                                 steps=(15, 35, 50, 66, 75), head_std=.01),
}
DEFAULTS = ('small',)


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """A training a recipe, for all tests."""
    for name in recipes:
        yield tune(task, name, RECIPES[name], 'finetune')


def tune(task: Task, name: str, recipe: FinetuneRecipe, what: str, **about) -> Outcome:
    """Fine-tune on the training clips of a task, score all its tests."""
    start = time.perf_counter()
    dataset, rows = task.bank.clips(task.train.ids)
    classifier = finetuning.finetune(task.bank.model, dataset, rows, task.train.labels, recipe, task.classes, task.seed,
                                     f'{what} {name}', task.bank.progress)
    scores = {test: finetuning.classify(classifier, *task.bank.clips(clips.ids), task.bank.batch_size)
              for test, clips in task.tests.items()}
    return Outcome(name, scores, seconds=time.perf_counter() - start, **about)
