"""Semi-supervised: fine-tuning, or a probe on frozen features, with the labels of a few clips of every class."""
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmskelssl.evaluation.protocols import finetune, linear
from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import SEMI, FinetuneRecipe
from mmskelssl.evaluation.splits import subset

FRACTIONS = (.01, .05, .1)
RECIPES = SEMI
DEFAULTS = ('small',)


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Yield the outcome of each recipe on each fraction. The clips of a fraction depend only on the seed."""
    from mmskelssl.evaluation.processes import deal

    def tune(job: tuple[str, float]) -> Outcome:
        name, fraction = job
        recipe = RECIPES[name]
        few = replace(task, train=task.train.take(subset(task.train.ids, task.train.labels, fraction, task.seed)))
        if not isinstance(recipe, FinetuneRecipe):
            return replace(linear.probe(few, name, recipe), train_ids=few.train.ids, label_fraction=fraction)
        return finetune.tune(few, name, recipe, f'semi {fraction:.0%}', train_ids=few.train.ids,
                             label_fraction=fraction)
    yield from deal(tune, [(name, fraction) for name in recipes for fraction in FRACTIONS])
