"""A part of a store."""
from collections.abc import Sequence

import numpy as np

from mmskelssl.datasets.store.convert import OWN
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter, kind_of
from mmskelssl.errors import UserError


def subset(path: str, out: str, split: str | None = None, classes: Sequence[str] = (), subjects: Sequence[int] = (),
           ids: str | None = None, count: int | None = None, seed: int = 0, overwrite: bool = False) -> None:
    """Write the samples that meet every condition into a new store, in their order.

    Splits keep those of their samples that are there; a split with none of them goes. With ``classes`` the new store
    has these classes only, numbered from 0 in the order of the old ones.

    Args:
        path: Store to read.
        out: Store to write.
        split: Samples of this split.
        classes: Samples of these classes, by name, or by number where the store has no names.
        subjects: Samples of these subjects.
        ids: Samples that a text file names, one id a line.
        count: So many of them, drawn with the seed.
        seed: Of the choice.
        overwrite: Replace a store that is there.

    Raises:
        UserError: A condition names what the store does not have, or no sample meets all of them.
    """
    store = SkeletonStore(path)
    if count is not None and count < 1:
        raise UserError(f'--count {count}: a number of samples, 1 or more')
    if split is None and not classes and not subjects and ids is None and count is None:
        raise UserError('subset needs a condition: --split, --classes, --subjects, --ids or --count')
    labels = _labels(store, classes)
    wanted = np.ones(len(store), bool)
    if split is not None:
        wanted &= np.isin(np.arange(len(store)), store.split(split))
    if classes:
        wanted &= np.isin(store.labels, labels)
    if subjects:
        unknown = sorted(set(subjects) - set(store.subjects.tolist()))
        if unknown:
            raise UserError(f'{path} has no sample of subject {unknown[0]}')
        wanted &= np.isin(store.subjects, subjects)
    if ids is not None:
        wanted &= np.isin(np.arange(len(store)), _positions(store, ids))
    rows = np.flatnonzero(wanted)
    if not len(rows):
        raise UserError(f'{path}: no sample meets all of these conditions')
    if count is not None:
        if count > len(rows):
            raise UserError(f'--count {count}: only {len(rows)} samples meet the conditions')
        rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    options = dict(split=split, classes=list(classes), subjects=list(subjects), ids=ids, count=count, seed=seed,
                   data_hash=store.data_hash)
    names = [store.classes[label] for label in labels] if classes and store.classes else store.classes
    with StoreWriter(out, store.layout, classes=names, **kind_of(store), source=f'subset {path}', options=options,
                     overwrite=overwrite) as writer:
        for i in map(int, rows):
            about = {key: value for key, value in store.samples[i].items() if key not in OWN}
            if classes and store.classes:
                about['label'] = labels.index(about['label'])
            writer.add(store.ids[i], store.keypoints(i), scores=store.scores(i), **about)
        there = {store.ids[i] for i in rows}
        for name, members in store.splits.items():
            writer.set_split(name, [sample for sample in members if sample in there])
        if 'joint_masks' in store.index:
            writer.index['joint_masks'] = store.index['joint_masks']


def _labels(store: SkeletonStore, classes: Sequence[str]) -> list[int]:
    """Numbers of classes, in order."""
    numbers = {name: i for i, name in enumerate(store.classes or map(str, range(int(store.labels.max()) + 1)))}
    unknown = next((name for name in classes if name not in numbers), None)
    if unknown is not None:
        raise UserError(f'{store.path} has no class {unknown!r}; it has {", ".join(numbers) or "none"}')
    return sorted({numbers[name] for name in classes})


def _positions(store: SkeletonStore, file: str) -> list[int]:
    try:
        with open(file, encoding='utf-8') as stream:
            names = [line.strip() for line in stream if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{file} cannot be read: {error}') from error
    unknown = [name for name in names if name not in store.positions]
    if unknown:
        raise UserError(f'{file} names {len(unknown)} samples that {store.path} does not have, first {unknown[0]!r}')
    return [store.positions[name] for name in names]
