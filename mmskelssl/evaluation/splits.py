"""Which clips train a probe and which test it."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmskelssl.errors import UserError


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


def subset(ids: Sequence[str], labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Positions of the same share of every class, at least one clip of each, ascending.

    The choice depends on ids, labels and seed, not on the order of the clips, and a smaller share is part of a larger.
    """
    names, labels = np.asarray(ids), np.asarray(labels)
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = members[np.argsort(names[members])]
        order = np.random.default_rng((seed, int(label))).permutation(len(members))
        kept.append(members[order[:max(1, round(fraction * len(members)))]])
    return np.sort(np.concatenate(kept))
