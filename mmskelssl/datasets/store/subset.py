"""Copies a part of a store."""
from collections.abc import Sequence

import numpy as np

from mmskelssl.datasets.store.convert import OWN
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter, kind_of
from mmskelssl.errors import UserError


def subset(path: str, out: str, split: str | None = None, classes: Sequence[str] = (), subjects: Sequence[int] = (),
           ids: str | None = None, count: int | None = None, seed: int = 0, overwrite: bool = False) -> None:
    """Write the samples that meet all conditions into a new store, in their original order.

    Splits keep their remaining samples, and empty splits are dropped. With ``classes`` the new store has only these
    classes, numbered from 0 in the original order.

    Args:
        path: Store to read.
        out: Store to write.
        split: Keep samples of this split.
        classes: Keep samples of these classes, given by name, or by number if the store has no names.
        subjects: Keep samples of these subjects.
        ids: Keep samples listed in this text file, one id per line.
        count: Draw this number of them at random.
        seed: Random seed.
        overwrite: Replace an existing store.

    Raises:
        UserError: A condition names something that the store lacks, or no sample meets all conditions.
    """
    store = SkeletonStore(path)
    if count is not None and count < 1:
        raise UserError(f'--count {count}: must be 1 or more')
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
    store.verify_hash(rows.tolist())  # the copy has hashes of its own, which would call damaged frames sound
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
        if store.joint_masks is not None:
            writer.index['joint_masks'] = store.joint_masks


def _labels(store: SkeletonStore, classes: Sequence[str]) -> list[int]:
    """Return the numbers of classes, in order."""
    numbers = {name: i for i, name in enumerate(store.classes or map(str, range(int(store.labels.max()) + 1)))}
    unknown = next((name for name in classes if name not in numbers), None)
    if unknown is not None:
        raise UserError(f'{store.path} has no class {unknown!r}; it has {", ".join(numbers) or "none"}')
    return sorted({numbers[name] for name in classes})


def _positions(store: SkeletonStore, file: str) -> list[int]:
    try:
        with open(file, encoding='utf-8-sig') as stream:  # with or without a byte order mark
            names = [line.strip() for line in stream if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{file} cannot be read: {error}') from error
    unknown = [name for name in names if name not in store.positions]
    if unknown:
        raise UserError(f'{file} names {len(unknown)} samples that {store.path} does not have, first {unknown[0]!r}')
    return [store.positions[name] for name in names]
