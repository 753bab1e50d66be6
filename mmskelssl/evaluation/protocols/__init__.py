"""The papers' protocols, one module each. All follow the contract of :mod:`mmskelssl.evaluation.protocols.base`.

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
from mmskelssl.errors import UserError
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.protocols import cluster, finetune, knn, linear, retrieval, semi
from mmskelssl.evaluation.protocols.base import Outcome, Task, check
from mmskelssl.evaluation.recipe_names import canonical, settings_text
from mmskelssl.evaluation.recipes import BENCHMARK_DATA, KNN_TEMPERATURE
from mmskelssl.evaluation.recipes import KNN as KNN_RECIPES
from mmskelssl.evaluation.splits import SplitPair, default_pairs, parse_pairs

if TYPE_CHECKING:
    from mmskelssl.evaluation.features import FeatureBank, Features

__all__ = ['KNN_RECIPES', 'KNN_TEMPERATURE', 'PROTOCOLS', 'Measured', 'SplitPair', 'default_pairs', 'evaluate',
           'evaluate_encoder', 'evaluate_many', 'measure', 'measure_encoder', 'parse_pairs', 'recipes_of']

PROTOCOLS: Catalogue[ModuleType] = Catalogue('protocol', dict(
    knn=knn, linear=linear, finetune=finetune, semi=semi, retrieval=retrieval, cluster=cluster))


@dataclass(frozen=True)
class Measured:
    """A row of results.json with the data behind it."""
    row: dict
    test: Features
    outcome: Outcome
    name: str  # name of the test in the outcome

    @property
    def predictions(self) -> np.ndarray:
        return self.outcome.predicted(self.name)

    @property
    def scores(self) -> np.ndarray | None:
        return None if self.outcome.scores is None else self.outcome.scores[self.name]


def recipes_of(protocol: str, names: Sequence[str] | None = None, data: str | None = None) -> list[str]:
    """Return the canonical names of the given recipes of a protocol, or of its defaults.

    Args:
        names: Names of recipes. By default, those of the protocol.
        data: Name of the data set, whose defaults may differ if it is not one of
            :data:`~mmskelssl.evaluation.recipes.BENCHMARK_DATA`.

    Raises:
        UserError: If there is no such recipe, or a change to its settings is wrong.
    """
    known, usual = PROTOCOLS[protocol].RECIPES, PROTOCOLS[protocol].DEFAULTS
    if data is not None and data not in BENCHMARK_DATA:
        usual = getattr(PROTOCOLS[protocol], 'OWN_DEFAULTS', usual)
    return list(dict.fromkeys(canonical(known, name) for name in names or usual))


def measure(task: Task, protocol: str, recipes: Sequence[str] | None = None) -> Iterator[Measured]:
    """Run a protocol and convert its outcomes to rows.

    A row has ``protocol``, ``recipe``, ``settings`` (those of the recipe, as text), ``label_fraction``, ``top1``,
    ``top5``, ``mean_class``, ``per_class``, ``ci95``, ``seconds`` (of the probe), ``num_train``, ``num_test``,
    ``feature_dim``, ``unseen_classes`` (classes that occur in the test split only), and fields added by the protocol.
    """
    recipes = recipes_of(protocol, recipes)
    check(task, getattr(PROTOCOLS[protocol], 'LEARNS', True))
    task = without_foreign_classes(task, protocol)
    if not task.tests:
        return
    for outcome in PROTOCOLS[protocol].run(task, recipes):
        for name, test in task.tests.items():
            scores = outcome.scores and outcome.scores[name]
            unseen = len(set(test.labels.tolist()) - set(task.train.labels.tolist()))
            used = task.train.ids if outcome.train_ids is None else outcome.train_ids
            row = {**dict(protocol=protocol, recipe=outcome.recipe,
                          settings=settings_text(PROTOCOLS[protocol].RECIPES.get(outcome.recipe)),
                          label_fraction=outcome.label_fraction,
                          **accuracies(test.labels, outcome.predicted(name), scores), seconds=outcome.seconds,
                          num_train=len(used), num_test=len(test), feature_dim=task.train.feats.shape[1],
                          unseen_classes=unseen), **outcome.numbers.get(name, {})}
            yield Measured(row, test, outcome, name)


def _task(train: Features, tests: Mapping[str, Features], seed: int, num_classes: int, bank=None) -> Task:
    labels = [part.labels.max(initial=0) for part in (train, *tests.values())]
    return Task(train, tests, 1 + max(num_classes - 1, *map(int, labels)), seed, bank)


def evaluate(train: Features, test: Features, protocol: str, recipes: Sequence[str] | None = None, seed: int = 0,
             num_classes: int = 0) -> list[dict]:
    """Evaluate features under a protocol that does not train the encoder.

    Args:
        train: Features for training the probe, or the bank of neighbours.
        test: Features for testing. They must not share clips with ``train``.
        protocol: Name of the protocol.
        recipes: Names of recipes. By default, those of the protocol.
        seed: Seed of the probe.
        num_classes: Number of classes. By default, the highest label + 1.

    Returns:
        One row per recipe, see :func:`measure`.
    """
    return evaluate_many(train, {'test': test}, protocol, recipes, seed, num_classes)['test']


def evaluate_many(train: Features, tests: Mapping[str, Features], protocol: str, recipes: Sequence[str] | None = None,
                  seed: int = 0, num_classes: int = 0) -> dict[str, list[dict]]:
    """Like :func:`evaluate`, but for several test splits with one fit. Returns name -> rows."""
    rows: dict[str, list[dict]] = {name: [] for name in tests}
    for measured in measure(_task(train, tests, seed, num_classes), protocol, recipes):
        rows[measured.name].append(measured.row)
    if not any(rows.values()):
        raise UserError(f'nothing to measure: no class of {", ".join(tests)} has a training clip')
    return rows


def measure_encoder(bank: FeatureBank, pairs: Sequence[SplitPair], protocols: Sequence[str], identity: Mapping,
                    recipes: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> list[Measured]:
    """Run all protocols and recipes on all pairs of splits, ordered by pair. Pairs share the fit of a training split.

    Args:
        bank: Features of the encoder.
        pairs: Pairs of splits.
        protocols: Names of the protocols.
        identity: Fields of the rows that describe the encoder: ``encoder``, ``method``, ``data``, ``stream``, ...
        recipes: Names of recipes by protocol. By default, those of each protocol.
        seed: Seed of the probes.
    """
    for protocol in protocols:
        recipes_of(protocol, (recipes or {}).get(protocol))  # reject a wrong name before anything runs
    made: dict[SplitPair, list[Measured]] = {pair: [] for pair in pairs}
    for task, alike in tasks(bank, pairs, seed):
        for protocol in protocols:
            for measured in measure(task, protocol, (recipes or {}).get(protocol)):
                for pair in [pair for pair in alike if pair.test == measured.name]:
                    row = dict(identity, split=pair.name, train_split=pair.train, test_split=pair.test, seed=seed,
                               **measured.row, feature_seconds=bank.seconds)
                    made[pair].append(replace(measured, row=row))
    if not any(made.values()):
        raise UserError(f'nothing to measure: no class of {", ".join(pair.test for pair in pairs)} has a training clip')
    return [measured for pair in pairs for measured in made[pair]]


def without_foreign_classes(task: Task, protocol: str) -> Task:
    """Leave out tests whose classes all lack training clips, such as other styles, and say so: they would give 0 %.

    A note says how many classes of the other tests lack training clips.
    """
    from mmengine.dist import is_main_process
    if not getattr(PROTOCOLS[protocol], 'LEARNS', True):
        return task
    known, kept = set(task.train.labels.tolist()), {}
    for name, test in task.tests.items():
        foreign = set(test.labels.tolist()) - known
        if foreign < set(test.labels.tolist()):
            kept[name] = test
        if foreign and is_main_process():
            wrong = int(np.isin(test.labels, [*foreign]).sum())
            what = f'their {wrong} clips count as wrong' if name in kept else 'it is not measured'
            print(f'note: {protocol}: {len(foreign)} of {len(np.unique(test.labels))} classes of {name} have no '
                  f'training clip; {what}')
    return replace(task, tests=kept)


def tasks(bank: FeatureBank, pairs: Sequence[SplitPair], seed: int) -> list[tuple[Task, list[SplitPair]]]:
    """Return one task per training split, with its pairs."""
    for pair in pairs:
        bank[pair.train], bank[pair.test]
    alike = {split: [pair for pair in pairs if pair.train == split] for split in dict.fromkeys(p.train for p in pairs)}
    return [(_task(bank[split], {pair.test: bank[pair.test] for pair in some}, seed, bank.num_classes, bank), some)
            for split, some in alike.items()]


def evaluate_encoder(bank: FeatureBank, pairs: Sequence[SplitPair], protocols: Sequence[str], identity: Mapping,
                     recipes: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> list[dict]:
    """Return the rows of :func:`measure_encoder`."""
    return [measured.row for measured in measure_encoder(bank, pairs, protocols, identity, recipes, seed)]
