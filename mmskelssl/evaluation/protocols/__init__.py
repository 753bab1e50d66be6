"""Protocols of the papers, one module each, under one contract (:mod:`mmskelssl.evaluation.protocols.base`).

A plug-in adds a protocol with ``PROTOCOLS.register('mine', protocol)``, and a recipe to one of the catalogues in
:mod:`mmskelssl.evaluation.recipes`.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from mmskelssl.catalogue import Catalogue
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.protocols import cluster, finetune, knn, linear, retrieval, semi
from mmskelssl.evaluation.protocols.base import Outcome, Task, check
from mmskelssl.evaluation.recipes import KNN as KNN_RECIPES
from mmskelssl.evaluation.recipes import KNN_TEMPERATURE
from mmskelssl.evaluation.splits import SplitPair, default_pairs, parse_pairs

if TYPE_CHECKING:
    from mmskelssl.evaluation.features import FeatureBank, Features

__all__ = ['KNN_RECIPES', 'KNN_TEMPERATURE', 'PROTOCOLS', 'Measured', 'SplitPair', 'default_pairs', 'evaluate',
           'evaluate_encoder', 'evaluate_many', 'measure', 'measure_encoder', 'parse_pairs', 'recipes_of']

PROTOCOLS: Catalogue[ModuleType] = Catalogue('protocol', dict(
    knn=knn, linear=linear, finetune=finetune, semi=semi, retrieval=retrieval, cluster=cluster))


@dataclass(frozen=True)
class Measured:
    """A row of results.json and what it was made from."""
    row: dict
    test: Features
    outcome: Outcome
    name: str  # of the test, in the outcome

    @property
    def predictions(self) -> np.ndarray:
        return self.outcome.predicted(self.name)

    @property
    def scores(self) -> np.ndarray | None:
        return None if self.outcome.scores is None else self.outcome.scores[self.name]


def recipes_of(protocol: str, names: Sequence[str] | None = None) -> list[str]:
    """Recipes of a protocol by name, default its defaults; an unknown name is an error."""
    known = PROTOCOLS[protocol].RECIPES
    names = list(names or PROTOCOLS[protocol].DEFAULTS)
    for name in names:
        known[name]  # an unknown one raises
    return names


def measure(task: Task, protocol: str, recipes: Sequence[str] | None = None) -> Iterator[Measured]:
    """Run a protocol and put its outcomes into rows.

    A row has ``protocol``, ``recipe``, ``label_fraction``, ``top1``, ``top5``, ``mean_class``, ``per_class``, ``ci95``,
    ``seconds`` (of the probe), ``num_train``, ``num_test``, ``feature_dim``, ``unseen_classes`` (tested, but not
    trained), and what the protocol adds.
    """
    recipes = recipes_of(protocol, recipes)
    check(task)
    for outcome in PROTOCOLS[protocol].run(task, recipes):
        for name, test in task.tests.items():
            scores = outcome.scores and outcome.scores[name]
            unseen = len(set(test.labels.tolist()) - set(task.train.labels.tolist()))
            used = task.train.ids if outcome.train_ids is None else outcome.train_ids
            row = {**dict(protocol=protocol, recipe=outcome.recipe, label_fraction=outcome.label_fraction,
                          **accuracies(test.labels, outcome.predicted(name), scores), seconds=outcome.seconds,
                          num_train=len(used), num_test=len(test), feature_dim=task.train.feats.shape[1],
                          unseen_classes=unseen), **outcome.numbers.get(name, {})}
            yield Measured(row, test, outcome, name)


def _task(train: Features, tests: Mapping[str, Features], seed: int, num_classes: int, bank=None) -> Task:
    labels = [part.labels.max(initial=0) for part in (train, *tests.values())]
    return Task(train, tests, 1 + max(num_classes - 1, *map(int, labels)), seed, bank)


def evaluate(train: Features, test: Features, protocol: str, recipes: Sequence[str] | None = None, seed: int = 0,
             num_classes: int = 0) -> list[dict]:
    """Measure features under a protocol that trains no encoder.

    Args:
        train: What the probe learns from, or the bank of neighbours.
        test: What it is measured on; may not share clips with ``train``.
        recipes: Names; default the protocol's defaults.
        seed: Of the probe.
        num_classes: Default the highest label + 1.

    Returns:
        A row a recipe, see :func:`measure`.
    """
    return evaluate_many(train, {'test': test}, protocol, recipes, seed, num_classes)['test']


def evaluate_many(train: Features, tests: Mapping[str, Features], protocol: str, recipes: Sequence[str] | None = None,
                  seed: int = 0, num_classes: int = 0) -> dict[str, list[dict]]:
    """:func:`evaluate` on several test splits with one fit: name -> rows."""
    rows: dict[str, list[dict]] = {name: [] for name in tests}
    for measured in measure(_task(train, tests, seed, num_classes), protocol, recipes):
        rows[measured.name].append(measured.row)
    return rows


def measure_encoder(bank: FeatureBank, pairs: Sequence[SplitPair], protocols: Sequence[str], identity: Mapping,
                    recipes: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> list[Measured]:
    """Every protocol and recipe on every pair of splits, in this order; pairs with one training split share the fit.

    Args:
        identity: What the rows say about the encoder: ``encoder``, ``method``, ``data``, ``stream``, ...
        recipes: protocol -> recipes; default each one's defaults.
    """
    for protocol in protocols:
        recipes_of(protocol, (recipes or {}).get(protocol))  # a wrong name is refused before anything runs
    made: dict[SplitPair, list[Measured]] = {pair: [] for pair in pairs}
    for task, alike in tasks(bank, pairs, seed):
        for protocol in protocols:
            for measured in measure(task, protocol, (recipes or {}).get(protocol)):
                for pair in [pair for pair in alike if pair.test == measured.name]:
                    row = dict(identity, split=pair.name, train_split=pair.train, test_split=pair.test, seed=seed,
                               **measured.row, feature_seconds=bank.seconds)
                    made[pair].append(replace(measured, row=row))
    return [measured for pair in pairs for measured in made[pair]]


def tasks(bank: FeatureBank, pairs: Sequence[SplitPair], seed: int) -> list[tuple[Task, list[SplitPair]]]:
    """A task a training split, and its pairs."""
    for pair in pairs:
        bank[pair.train], bank[pair.test]
    alike = {split: [pair for pair in pairs if pair.train == split] for split in dict.fromkeys(p.train for p in pairs)}
    return [(_task(bank[split], {pair.test: bank[pair.test] for pair in some}, seed, bank.num_classes, bank), some)
            for split, some in alike.items()]


def evaluate_encoder(bank: FeatureBank, pairs: Sequence[SplitPair], protocols: Sequence[str], identity: Mapping,
                     recipes: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> list[dict]:
    """Rows of :func:`measure_encoder`."""
    return [measured.row for measured in measure_encoder(bank, pairs, protocols, identity, recipes, seed)]
