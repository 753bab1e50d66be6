"""Draws a training and a test split of a store."""
import re
from collections.abc import Callable, Hashable
from typing import Literal

import numpy as np

from mmskelssl.datasets.store.edit import edited
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError

By = Literal['class', 'subject', 'recording']

# NTU RGB+D and NW-UCLA film one performance with several cameras. The name without the camera is the recording.
_CAMERA = re.compile(r'(?<![A-Za-z0-9])(S\d{3})C\d{3}(P\d{3}R\d{3}A\d{3})|(?<![A-Za-z0-9])(a\d+_s\d+_e\d+)_v\d+')


def draw_split(path: str, share: float, seed: int = 0, by: By | None = None, name: str = '',
               overwrite: bool = False) -> None:
    """Set the splits ``NAME_train`` and ``NAME_test`` (``train`` and ``test`` without a name), in place.

    The store's provenance records the rule and the seed. The same seed gives the same split.

    Args:
        path: Store to change.
        share: Share of samples in the test split, between 0 and 1.
        seed: Random seed.
        by: ``class`` draws the share from each class, so that each class with two samples is in both splits; samples
            without a label go to the training split. ``subject`` and ``recording`` keep all samples of a subject or
            recording in one split, and draw whole groups to match the share as closely as possible. Default: ``class``
            if samples have labels, otherwise samples are drawn regardless of class.
        name: Prefix, for ``data.split=NAME`` in a config.
        overwrite: Replace splits of these names.

    Raises:
        UserError: The store has splits of these names, or lacks the values for ``by``. The store stays unchanged.
    """
    if not 0 < share < 1:
        raise UserError(f'--share {share:g}: must be a number above 0 and below 1, such as 0.2')
    if not re.fullmatch(r'[\w.-]*', name) or name in ('all', 'standard'):
        raise UserError(f'--name {name!r}: use letters, digits, ".", "-" and "_", but not "all" or "standard"')
    train, test = (f'{name}_{part}' if name else part for part in ('train', 'test'))
    options = dict(share=share, seed=seed, by=by, name=name)
    with edited(path, 'split', options) as store:
        taken = [split for split in (train, test) if split in store.splits]
        if taken and not overwrite:
            raise UserError(f'{path} has a split {taken[0]!r} already: give the new one another --name, or replace it '
                            'with --overwrite')
        if len(store) < 2:
            raise UserError(f'{path} has a single sample, which cannot be split')
        by = options['by'] = by or ('class' if (store.labels >= 0).any() else None)
        if by in ('subject', 'recording'):
            chosen = _whole_groups(_keys(store, by), share, seed, by, path)
        else:
            chosen = _samples(store, share, seed, by)
        options.update(train=int((~chosen).sum()), test=int(chosen.sum()))
        for split, wanted in ((train, ~chosen), (test, chosen)):
            store.index['splits'][split] = [store.ids[i] for i in np.flatnonzero(wanted)]
    print(f'{path}: {train} {options["train"]}, {test} {options["test"]} samples, drawn by {by or "chance"} with seed '
          f'{seed}' + _classes_of_one_side(store, chosen, train, test))
    print(f'use it with data.split={name or "standard"}')


def _samples(store: SkeletonStore, share: float, seed: int, by: By | None) -> np.ndarray:
    """Return (N,) bool: test samples drawn one by one, from each class if ``by`` is ``class``."""
    rng, chosen = np.random.default_rng(seed), np.zeros(len(store), bool)
    if by == 'class' and not (store.labels >= 0).any():
        raise UserError(f'{store.path}: no sample has a label; omit --by, or add labels with `relabel`')
    groups = [np.flatnonzero(store.labels == label) for label in np.unique(store.labels[store.labels >= 0])]
    for rows in groups if by == 'class' else [np.arange(len(store))]:
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        chosen[rng.permutation(rows)[:count]] = True
    if not chosen.any():
        raise UserError(f'{store.path}: no class has two samples, so none can be in both splits; omit --by')
    return chosen


def _whole_groups(keys: list[Hashable], share: float, seed: int, by: str, path: str) -> np.ndarray:
    """Return (N,) bool: test samples in whole groups. A group is taken if it brings the split nearer to its size."""
    groups = sorted(set(keys), key=str)
    if len(groups) < 2:
        raise UserError(f'{path}: all samples have the same {by}, {groups[0]!r}, so it cannot be split by {by}')
    place = {key: i for i, key in enumerate(groups)}
    group_of = np.array([place[key] for key in keys])
    sizes, wanted = np.bincount(group_of), share * len(keys)
    taken: list[int] = []
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    for group in order:
        size = sizes[taken].sum()
        if abs(size + sizes[group] - wanted) < abs(size - wanted):
            taken.append(group)
    taken = (taken or [int(sizes.argmin())])[:len(groups) - 1]
    return np.isin(group_of, taken)


def _keys(store: SkeletonStore, by: str) -> list[Hashable]:
    """Return the subject or the recording of each sample."""
    read: Callable[[dict], Hashable] = recording_of if by == 'recording' else lambda sample: sample.get('subject')
    keys = [read(sample) for sample in store.samples]
    lost = [store.ids[i] for i, key in enumerate(keys) if key is None]
    if lost:
        raise UserError(f'{store.path}: {len(lost)} of {len(keys)} samples have no {by} (first {lost[0]!r}): add a '
                        f'column {by} to a table of the samples and give it to `relabel`')
    return keys


def recording_of(sample: dict) -> str | None:
    """Return the recording of a sample of ``index.json``: its entry, or its name without the camera."""
    if sample.get('recording') is not None:
        return str(sample['recording'])
    match = _CAMERA.search(sample['id'])
    return sample['id'][:match.start()] + ''.join(part or '' for part in match.groups()) if match else None


def _classes_of_one_side(store: SkeletonStore, chosen: np.ndarray, train: str, test: str) -> str:
    """Return a note on classes in only one split, which an evaluation would count as errors."""
    sides = [set(store.labels[wanted & (store.labels >= 0)].tolist()) for wanted in (~chosen, chosen)]
    lines = []
    for split, classes in ((train, sides[1] - sides[0]), (test, sides[0] - sides[1])):
        names = [store.classes[label] if label < len(store.classes) else str(label) for label in sorted(classes)]
        if names:
            lines.append(f'\nnote: {split} has no sample of {len(names)} classes: ' + ', '.join(names[:8])
                         + (', ...' if len(names) > 8 else ''))
    return ''.join(lines)
