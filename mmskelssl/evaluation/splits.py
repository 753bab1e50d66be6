"""Pairs of splits for training and testing a probe."""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmskelssl.errors import UserError


@dataclass(frozen=True)
class SplitPair:
    """A training split and a test split, with the name of the pair in results."""
    name: str
    train: str
    test: str


def default_pairs(splits: Mapping[str, Sequence]) -> list[SplitPair]:
    """Return the pairs among the splits of a store: train/test, train/test_clean, and X_train/X_test for each other X.

    A pair with the same samples as an earlier one is omitted. If it is a fold, the earlier one gets its name, so that
    all folds are called folds.
    """
    pairs = [SplitPair(test, 'train', test) for test in ('test', 'test_clean') if {'train', test} <= set(splits)]
    prefixes = [name.removesuffix('_train') for name in splits if name.endswith('_train')]
    pairs += [SplitPair(x, f'{x}_train', f'{x}_test') for x in prefixes if f'{x}_test' in splits]
    made: dict[tuple, SplitPair] = {}
    for pair in pairs:
        members = tuple(tuple(sorted(map(str, splits[split]))) for split in (pair.train, pair.test))
        if members not in made:
            made[members] = pair
        elif is_fold(pair.name):
            made[members] = replace(made[members], name=pair.name)
    if not made:
        raise UserError(f'no pair of splits to evaluate on among {", ".join(splits) or "none"}; '
                        'specify one with --split-pairs TRAIN:TEST')
    return [*made.values()]


def is_fold(name: str) -> bool:
    """Return whether a pair is one of several folds (``fold1``, ``fold2``), whose results are pooled."""
    return bool(re.fullmatch(r'fold\d+', name))


def parse_pairs(texts: Sequence[str] | None, splits: Mapping[str, Sequence]) -> list[SplitPair]:
    """Parse pairs written as ``train:test``. Without any, return :func:`default_pairs`."""
    if not texts:
        return default_pairs(splits)
    made = []
    twice = next((text for text in texts if list(texts).count(text) > 1), None)
    if twice:
        raise UserError(f'--split-pairs {twice}: given twice')
    for text in texts:
        train, _, test = text.partition(':')
        missing = [split for split in (train, test) if split not in splits]
        if missing:
            raise UserError(f'--split-pairs {text}: no split {missing[0]!r}; the store has {", ".join(splits)}')
        made.append(SplitPair(test.removesuffix('_test') or test, train, test))
    return made


def subset(ids: Sequence[str], labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Select the same share of every class, at least one clip each, and return the positions in ascending order.

    The selection depends on ids, labels and seed but not on the order of the clips. A smaller share is a subset of a
    larger one.
    """
    names, labels = np.asarray(ids), np.asarray(labels)
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = members[np.argsort(names[members])]
        order = np.random.default_rng((seed, int(label))).permutation(len(members))
        kept.append(members[order[:max(1, round(fraction * len(members)))]])
    return np.sort(np.concatenate(kept))


def held_out_parts(labels: np.ndarray, subjects: np.ndarray | None, folds: int,
                   seed: int) -> tuple[list[np.ndarray], str]:
    """Divide clips into parts to hold out: by subject if there are as many subjects as parts, otherwise by clip.

    A clip is never held out if no other part has its class. Parts by clip have the same share of each class.

    Args:
        labels: (N,) classes.
        subjects: (N,) subject of each clip, -1 if unknown. None divides by clip.
        folds: Number of parts.
        seed: Seed of the division.

    Returns:
        The rows of each part, and ``subjects`` or ``clips``.

    Raises:
        UserError: If each clip has its own class.
    """
    people = np.unique(subjects) if subjects is not None else np.array([-1])
    if subjects is not None and len(people) >= folds and people[0] >= 0:
        order = np.random.default_rng(seed).permutation(people)
        groups = [np.flatnonzero(np.isin(subjects, order[i::folds])) for i in range(folds)]
        parts = [part[np.isin(labels[part], labels[_others(labels, part)])] for part in groups]
        if all(len(part) for part in parts):
            return parts, 'subjects'
    return _parts_by_clip(labels, folds, seed), 'clips'


def _parts_by_clip(labels: np.ndarray, folds: int, seed: int) -> list[np.ndarray]:
    """Deal the clips of each class to parts."""
    parts: list[list[int]] = [[] for _ in range(folds)]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            order = np.random.default_rng((seed, int(label))).permutation(rows)
            for i, part in enumerate(parts):
                part += order[(i + label) % folds::folds].tolist()
    made = [np.sort(np.array(part, int)) for part in parts if part]
    if not made:
        raise UserError(f'{len(labels)} clips, each with its own class: a classifier needs several clips of a class')
    return made


def _others(labels: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(labels)), part)
