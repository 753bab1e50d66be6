"""The contract of protocols: their input and output.

A protocol is a module or any object with

- ``RECIPES``: a catalogue of :mod:`mmskelssl.evaluation.recipes`,
- ``DEFAULTS``: names of the default recipes,
- ``OWN_DEFAULTS``, if others are the default for data that is not one of
  :data:`~mmskelssl.evaluation.recipes.BENCHMARK_DATA`,
- ``run(task, recipes)``, which yields an :class:`Outcome` for each recipe,
- a docstring whose first line is its help text,
- ``SCORED = False`` if no outcome has scores,
- ``LEARNS = False`` if the labels of the training clips are not used.

Rows, intervals, files and tables are derived from these. A protocol imports torch in ``run``, so that help texts can
list the protocols without delay.
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
    """Clips for training and clips for testing.

    Args:
        train: Features for training.
        tests: Features for testing, by name. They share no clips with ``train``.
        classes: Number of classes.
        seed: Seed of all random numbers.
        bank: Encoder and clips, for protocols that train the encoder.
    """
    train: Features
    tests: Mapping[str, Features]
    classes: int
    seed: int = 0
    bank: FeatureBank | None = None

    def held_out(self, rows: np.ndarray) -> Task:
        """Return the task of predicting these rows of ``train`` from the other rows. It does not contain the tests."""
        kept = np.setdiff1d(np.arange(len(self.train)), rows)
        return Task(self.train.take(kept), {'validation': self.train.take(rows)}, self.classes, self.seed, self.bank)


@dataclass(frozen=True)
class Outcome:
    """The predictions of one recipe.

    Args:
        recipe: Name of the recipe.
        scores: (N, classes) by test, higher is better. None if the protocol does not rank the classes.
        predictions: (N,) classes by test. By default, the argmax of ``scores``.
        numbers: Further fields of the row, by test.
        seconds: Time spent.
        train_ids: Clips whose labels were used. By default, all.
        label_fraction: Share of the training split that these clips make up.
        precision: (N,) average precision of each query by test, for pictures. None if nothing is ranked.
    """
    recipe: str
    scores: Mapping[str, np.ndarray] | None = None
    predictions: Mapping[str, np.ndarray] | None = None
    numbers: Mapping[str, dict] = field(default_factory=dict)
    seconds: float = 0.
    train_ids: Sequence[str] | None = None
    label_fraction: float = 1.0
    precision: Mapping[str, np.ndarray] | None = None

    def predicted(self, test: str) -> np.ndarray:
        """Return the predicted classes (N,) of a test."""
        if self.predictions is not None:
            return self.predictions[test]
        assert self.scores is not None  # one of the two is always set
        return self.scores[test].argmax(1)


def check(task: Task, learns: bool = True) -> None:
    """Raise if a split is empty, a label is missing, or a clip is in both the training and a test split.

    Args:
        task: The task to check.
        learns: Whether the protocol uses the training clips. If not, a clip may be in both splits.
    """
    known = set(task.train.ids) if learns else set()
    for part, features in (('training', task.train), *task.tests.items()):
        if not len(features):
            raise UserError(f'the {part} split is empty')
        unknown = np.flatnonzero(features.labels < 0)
        if len(unknown):
            raise UserError(f'sample {features.ids[unknown[0]]} of the {part} split has no label ({len(unknown)} of '
                            f'{len(features)} have none); evaluation needs labels')
    for part, features in task.tests.items():  # a split tested on itself is the same object as the training split
        if shared := known & set(features.ids):
            raise UserError(f'sample {min(shared)} is in the training and the {part} split ({len(shared)} are in both)')


def split_scores(task: Task, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Split the concatenated scores of all tests by test."""
    ends = np.cumsum([len(test) for test in task.tests.values()])[:-1]
    return dict(zip(task.tests, np.split(scores, ends), strict=True))


def all_queries(task: Task) -> np.ndarray:
    """Concatenate the features of all tests, so that one pass serves all of them."""
    return np.concatenate([test.feats for test in task.tests.values()])
