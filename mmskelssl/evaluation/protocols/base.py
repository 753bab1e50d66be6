"""What a protocol is given, and what it gives back.

A protocol is a module, or any object, with

- ``RECIPES``: a catalogue of :mod:`mmskelssl.evaluation.recipes`,
- ``DEFAULTS``: names of recipes, taken where none is asked for,
- ``run(task, recipes)``, which yields an :class:`Outcome` for each recipe,
- a docstring, whose first line is its help,
- ``SCORED = False`` where no outcome has scores.

Rows, intervals, files and tables follow from that. A protocol imports torch in ``run``, so that help texts list the
protocols at once.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mmskelssl.errors import UserError

if TYPE_CHECKING:
    from mmskelssl.evaluation.features import FeatureBank, Features


@dataclass(frozen=True)
class Task:
    """Clips to learn from and clips to be measured on.

    Args:
        train: What may be learned from.
        tests: Name -> what is measured; no clip of ``train`` is among them.
        classes: Number of classes.
        seed: Of everything random.
        bank: Where the encoder and the clips are, for protocols that train it.
    """
    train: Features
    tests: Mapping[str, Features]
    classes: int
    seed: int = 0
    bank: FeatureBank | None = None

    def held_out(self, rows: np.ndarray) -> Task:
        """The task of predicting these rows of ``train`` from its others; the tests are out of reach."""
        kept = np.setdiff1d(np.arange(len(self.train)), rows)
        return Task(self.train.take(kept), {'validation': self.train.take(rows)}, self.classes, self.seed, self.bank)


@dataclass(frozen=True)
class Outcome:
    """What one recipe predicts.

    Args:
        recipe: Its name.
        predictions: Test -> (N,) classes; default the argmax of ``scores``.
        scores: Test -> (N, classes), higher is better; None where nothing ranks the classes.
        numbers: Test -> further fields of the row.
        seconds: Spent.
        train_ids: Clips whose labels were used; default all.
        label_fraction: Their share of the training split.
    """
    recipe: str
    scores: Mapping[str, np.ndarray] | None = None
    predictions: Mapping[str, np.ndarray] | None = None
    numbers: Mapping[str, dict] = field(default_factory=dict)
    seconds: float = 0.
    train_ids: Sequence[str] | None = None
    label_fraction: float = 1.0

    def predicted(self, test: str) -> np.ndarray:
        """(N,) classes of a test."""
        if self.predictions is not None:
            return self.predictions[test]
        assert self.scores is not None  # one of the two is given
        return self.scores[test].argmax(1)


def check(task: Task) -> None:
    """Refuse empty parts, missing labels, and clips that train and test."""
    known = set(task.train.ids)
    for part, features in (('training', task.train), *task.tests.items()):
        if not len(features):
            raise UserError(f'the {part} split is empty')
        unknown = np.flatnonzero(features.labels < 0)
        if len(unknown):
            raise UserError(f'sample {features.ids[unknown[0]]} of the {part} split has no label ({len(unknown)} of '
                            f'{len(features)} have none); evaluation needs labels')
        shared = known & set(features.ids) if features is not task.train else None
        if shared:
            raise UserError(f'sample {min(shared)} is in the training and the {part} split ({len(shared)} are in both)')


def split_scores(task: Task, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of all tests together, in their order, by test."""
    ends = np.cumsum([len(test) for test in task.tests.values()])[:-1]
    return dict(zip(task.tests, np.split(scores, ends), strict=True))


def all_queries(task: Task) -> np.ndarray:
    """Features of all tests together: one pass serves them all."""
    return np.concatenate([test.feats for test in task.tests.values()])
