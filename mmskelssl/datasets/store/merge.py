"""One pool of several stores."""
import os.path as osp

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError


def merge(paths: list[str], out: str, overwrite: bool = False) -> None:
    """Write the samples of all stores into one, under ids and classes that begin with the store's name.

    Each split of a store becomes ``STORE_SPLIT``; those whose name all stores have are also joined under it, so that
    ``train`` is the training part of the pool. Subjects of different stores are different people.

    Args:
        paths: Stores of one layout, with the same channels and units.
        out: Store to write.
        overwrite: Replace a store that is there.
    """
    stores = {osp.basename(osp.abspath(path)): SkeletonStore(path) for path in paths}
    if len(stores) < len(paths) or len(paths) < 2:
        raise UserError(f'merge needs at least two stores with different names, not {", ".join(paths)}')
    first = next(iter(stores.values()))
    for store in stores.values():
        for what, ours, theirs in (('layout', store.layout, first.layout), ('channels', store.channels, first.channels),
                                   ('units', store.head.get('units'), first.head.get('units'))):
            if ours != theirs:
                shown = [getattr(value, 'name', value) for value in (theirs, ours)]
                raise UserError(f'{first.path} and {store.path} have different {what}, {shown[0]} and {shown[1]}: '
                                'import one of them again as the other is')
    with StoreWriter(out, first.layout, first.channels, first.head.get('units', ''), source=f'merge {" ".join(paths)}',
                     options=dict(data_hashes={name: store.data_hash for name, store in stores.items()}),
                     overwrite=overwrite) as writer:
        classes, subjects, joint = [], 0, set.intersection(*(set(store.splits) for store in stores.values()))
        for name, store in stores.items():
            named = store.classes or [str(i) for i in range(int(store.labels.max()) + 1)]
            if store.labels.max() >= len(named):
                raise UserError(f'{store.path}: a label is outside its {len(named)} classes: repair it first')
            for i, sample in enumerate(store.samples):
                about = {k: v for k, v in sample.items() if k not in ('id', 'offset', 'persons', 'frames')}
                for key, shift in (('label', len(classes)), ('subject', subjects)):
                    about[key] = None if about.get(key) is None else about[key] + shift
                writer.add(f'{name}/{sample["id"]}', store.keypoints(i), **about)
            for split, ids in store.splits.items():
                ids = [f'{name}/{sample}' for sample in ids]
                writer.set_split(f'{name}_{split}', ids)
                if split in joint:
                    writer.set_split(split, [*writer.splits.get(split, []), *ids])
            classes += [f'{name}: {title}' for title in named]
            subjects += int(store.subjects.max()) + 1
        writer.index['classes'] = classes
