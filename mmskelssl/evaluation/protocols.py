"""Which clips train a probe, which test it, and what is reported."""
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features, extract_features
from mmskelssl.evaluation.knn import knn_scores
from mmskelssl.evaluation.linear import get_recipe, linear_probe
from mmskelssl.evaluation.metrics import accuracies

KNN_TEMPERATURE = 0.1
# Neighbours of each recipe. One neighbour wins whatever its weight; 20 vote with exp(similarity / temperature).
KNN_RECIPES = {'1nn': 1, '20nn': 20}
DEFAULT_RECIPES = {'knn': ('1nn', '20nn'), 'linear': ('logreg', 'paper')}


@dataclass(frozen=True)
class SplitPair:
    """A protocol's training and test split, and its name in results."""
    name: str
    train: str
    test: str


def default_pairs(splits: Mapping[str, Sequence]) -> list[SplitPair]:
    """The protocols that a store's splits allow: train/test, train/test_clean, and X_train/X_test for each other X.

    A pair equal to an earlier one in its samples is left out.
    """
    pairs = [SplitPair(test, 'train', test) for test in ('test', 'test_clean') if {'train', test} <= set(splits)]
    prefixes = [name.removesuffix('_train') for name in splits if name.endswith('_train')]
    pairs += [SplitPair(x, f'{x}_train', f'{x}_test') for x in prefixes if f'{x}_test' in splits]
    made, seen = [], set()
    for pair in pairs:
        members = tuple(tuple(sorted(map(str, splits[split]))) for split in (pair.train, pair.test))
        if members not in seen:
            seen.add(members)
            made.append(pair)
    if not made:
        raise UserError(f'no pair of splits to evaluate on among {", ".join(splits) or "none"}; '
                        'name one with --split-pairs TRAIN:TEST')
    return made


def parse_pairs(texts: Sequence[str] | None, splits: Mapping[str, Sequence]) -> list[SplitPair]:
    """Pairs written as ``train:test``; without any, :func:`default_pairs`."""
    if not texts:
        return default_pairs(splits)
    made = []
    for text in texts:
        train, _, test = text.partition(':')
        missing = [split for split in (train, test) if split not in splits]
        if missing:
            raise UserError(f'--split-pairs {text}: no split {missing[0]!r}; the store has {", ".join(splits)}')
        made.append(SplitPair(test.removesuffix('_test') or test, train, test))
    return made


@dataclass
class FeatureBank:
    """Features of a store's splits; a clip in several splits is encoded once.

    Args:
        model: The encoder.
        make_dataset: Split name -> data set.
        max_samples: split -> at most so many of its clips, evenly spaced.
    """
    model: nn.Module
    make_dataset: Callable
    batch_size: int = 256
    device: str | None = None
    progress: bool = True
    max_samples: Mapping[str, int | None] = field(default_factory=dict)
    seconds: float = 0.0
    num_classes: int = 0
    _feats: dict = field(default_factory=dict)
    _splits: dict = field(default_factory=dict)

    def __getitem__(self, split: str) -> Features:
        if split not in self._splits:
            start = time.perf_counter()
            dataset = self.make_dataset(split)
            self.num_classes = max(self.num_classes, getattr(dataset, 'num_classes', 0) or 0)
            count = len(dataset.ids)
            kept = min(self.max_samples.get(split) or count, count)
            rows = np.arange(kept) * count // max(kept, 1)
            ids = [str(dataset.ids[row]) for row in rows]
            new = [row for row, name in zip(rows, ids, strict=True) if name not in self._feats]
            if new:
                made = extract_features(self.model, dataset, self.batch_size, self.device, self.progress, new)
                self._feats.update(zip(made.ids, made.feats, strict=True))
            feats = np.stack([self._feats[name] for name in ids]) if ids else np.empty((0, 0), np.float32)
            self._splits[split] = Features(feats, np.asarray(dataset.labels, np.int64)[rows], ids)
            self.seconds += time.perf_counter() - start
        return self._splits[split]


def _check(features: Features, part: str) -> None:
    if not len(features):
        raise UserError(f'the {part} split is empty')
    unknown = np.flatnonzero(features.labels < 0)
    if len(unknown):
        raise UserError(f'sample {features.ids[unknown[0]]} of the {part} split has no label ({len(unknown)} of '
                        f'{len(features)} have none); evaluation needs labels')


def evaluate(train: Features, test: Features, protocol: str, recipes: Sequence[str] | None = None, seed: int = 0,
             num_classes: int = 0) -> list[dict]:
    """Measure features under one protocol.

    Args:
        train: What the probe learns from, or the bank of neighbours.
        test: What it is measured on; may not share clips with ``train``.
        protocol: ``knn`` or ``linear``.
        recipes: Names in :data:`KNN_RECIPES` or :data:`~mmskelssl.evaluation.linear.RECIPES`.
        seed: Of the probe.
        num_classes: Default the highest label + 1.

    Returns:
        A row a recipe: ``protocol``, ``recipe``, ``top1``, ``top5``, ``mean_class``, ``ci95``, ``seconds``
        (of the probe), ``num_train``, ``num_test``, ``feature_dim``, ``unseen_classes`` (tested,
        but not trained).
    """
    return evaluate_many(train, {'test': test}, protocol, recipes, seed, num_classes)['test']


def evaluate_many(train: Features, tests: Mapping[str, Features], protocol: str, recipes: Sequence[str] | None = None,
                  seed: int = 0, num_classes: int = 0) -> dict[str, list[dict]]:
    """:func:`evaluate` on several test splits with one fit: name -> rows."""
    if protocol not in DEFAULT_RECIPES:
        raise UserError(f'unknown protocol {protocol!r}: choose knn or linear')
    _check(train, 'training')
    known = set(train.ids)
    for name, test in tests.items():
        _check(test, name)
        shared = known & set(test.ids)
        if shared:
            raise UserError(f'sample {min(shared)} is in the training and the {name} split ({len(shared)} are in both)')
    classes = 1 + max(num_classes - 1, *(int(part.labels.max()) for part in (train, *tests.values())))
    queries = np.concatenate([test.feats for test in tests.values()])
    ends = np.cumsum([len(test) for test in tests.values()])[:-1]
    rows: dict[str, list[dict]] = {name: [] for name in tests}
    recipes = recipes or DEFAULT_RECIPES[protocol]
    for recipe, scores, seconds in _scores(train, queries, protocol, recipes, seed, classes):
        for (name, test), part in zip(tests.items(), np.split(scores, ends), strict=True):
            # The votes of one neighbour rank one class only.
            measured = accuracies(test.labels, part.argmax(1), None if recipe == '1nn' else part)
            unseen = len(set(test.labels.tolist()) - set(train.labels.tolist()))
            rows[name].append(dict(protocol=protocol, recipe=recipe, **measured, seconds=seconds, num_train=len(train),
                                   num_test=len(test), feature_dim=train.feats.shape[1], unseen_classes=unseen))
    return rows


def _scores(train: Features, queries: np.ndarray, protocol: str, recipes: Sequence[str], seed: int, classes: int):
    """(recipe, scores of the queries, seconds), recipe by recipe; a wrong name is refused before anything runs."""
    start = time.perf_counter()
    if protocol == 'linear':
        for recipe in recipes:
            get_recipe(recipe)
        for recipe in recipes:
            scores = linear_probe(train.feats, train.labels, queries, recipe, seed, classes)
            yield recipe, scores, time.perf_counter() - start
            start = time.perf_counter()
        return
    unknown = [recipe for recipe in recipes if recipe not in KNN_RECIPES]
    if unknown:
        raise UserError(f'unknown KNN recipe {unknown[0]!r}: choose one of {", ".join(KNN_RECIPES)}')
    ks = [KNN_RECIPES[recipe] for recipe in recipes]
    votes = knn_scores(train.feats, train.labels, queries, ks, KNN_TEMPERATURE, classes)
    seconds = time.perf_counter() - start
    for recipe, k in zip(recipes, ks, strict=True):
        yield recipe, votes[k], seconds


def evaluate_encoder(bank: FeatureBank, pairs: Sequence[SplitPair], protocols: Sequence[str], identity: Mapping,
                     recipes: Mapping[str, Sequence[str]] | None = None, seed: int = 0) -> list[dict]:
    """Every protocol and recipe on every pair of splits; pairs with the same training split share the fit.

    Args:
        identity: What the rows say about the encoder: ``encoder``, ``method``, ``data``, ``stream``, ...
        recipes: protocol -> recipes; default :data:`DEFAULT_RECIPES`.
    """
    rows: dict[SplitPair, list] = {pair: [] for pair in pairs}
    for split in dict.fromkeys(pair.train for pair in pairs):
        alike = [pair for pair in pairs if pair.train == split]
        train, tests = bank[split], {pair.test: bank[pair.test] for pair in alike}
        for protocol in protocols:
            made = evaluate_many(train, tests, protocol, (recipes or {}).get(protocol), seed, bank.num_classes)
            for pair in alike:
                rows[pair] += made[pair.test]
    return [dict(identity, split=pair.name, train_split=pair.train, test_split=pair.test, label_fraction=1.0, seed=seed,
                 **row, feature_seconds=bank.seconds) for pair in pairs for row in rows[pair]]
