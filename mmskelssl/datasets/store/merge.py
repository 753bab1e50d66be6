"""Merges several stores into one pool."""
import os.path as osp
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from mmskelssl.datasets.store.convert import OWN, joined, refuse_pool
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter, kind_of
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS, SkeletonLayout
from mmskelssl.layouts.convert import Missing, conversion, targets_of
from mmskelssl.layouts.library import read_layout
from mmskelssl.layouts.union import into_union, joint_mask, union_layout


def merge(paths: list[str], out: str, overwrite: bool = False, to: str | None = None, names: bool = False,
          missing: Missing = 'ends') -> None:
    """Write the samples of all stores into one, with ids and classes prefixed by the store's name.

    Each split of a store becomes ``STORE_SPLIT``. Splits that all stores have are also joined under their common name,
    so ``train`` is the training part of the pool. Subjects of different stores count as different people.

    Stores of different layouts need ``to`` or ``names``. With ``names`` the pool's layout has every canonical joint
    of any store. Joints that a store lacks are zero. ``joint_masks`` in the index lists the joints of each store, and
    each sample's ``mask`` names its entry (:meth:`SkeletonStore.joint_mask`).

    If any store has scores, the pool has scores. Joints of stores without scores then get 1, or 0 at the origin.

    Args:
        paths: Stores with the same channels and units.
        out: Store to write.
        overwrite: Replace an existing store.
        to: Layout name or json file to convert each store to.
        names: Join the layouts by canonical joint names.
        missing: With ``to``, which joints without a counterpart in a store repeat another: ``ends``, ``refuse`` or
            ``repeat``.

    Raises:
        UserError: The stores cannot be merged; nothing is written then.
    """
    stores = {osp.basename(osp.abspath(path)): SkeletonStore(path) for path in paths}
    if len(stores) < len(paths) or len(paths) < 2:
        raise UserError(f'merge needs at least two stores with different names, not {", ".join(paths)}')
    first = next(iter(stores.values()))
    layout, ways, how = _ways(stores, to, names, missing)
    for store in stores.values():
        for what, ours, theirs in (('channels', store.channels, first.channels),
                                   ('units', store.head.get('units'), first.head.get('units'))):
            if ours != theirs:
                raise UserError(f'{first.path} and {store.path} have different {what}, {theirs} and {ours}: '
                                'import one of them again to match the other')
    options = dict(data_hashes={name: store.data_hash for name, store in stores.items()}, **how)
    thirds = {store.head.get('third', '') for store in stores.values()}
    rates = {store.head.get('fps') for store in stores.values()}
    if len(rates) > 1:
        print('note: the stores have different frame rates, or some do not state theirs; the new one states none')
    kind = kind_of(first) | dict(fps=rates.pop() if len(rates) == 1 else None,
                                 scores=any(store.has_scores for store in stores.values()),
                                 third=thirds.pop() if len(thirds) == 1 else '',
                                 storage=first.storage if len({store.storage for store in stores.values()}) == 1
                                 else 'float32')
    for store in stores.values():
        store.verify_hash()  # the pool has hashes of its own, which would call damaged frames sound
        if kind['scores'] and not store.has_scores:
            print(f'note: {store.path} has no scores: joints away from the origin get 1')
    with StoreWriter(out, layout, **kind, source=f'merge {" ".join(paths)}', options=options,
                     overwrite=overwrite) as writer:
        classes: list[str] = []
        subjects, joint = 0, set.intersection(*(set(store.splits) for store in stores.values()))
        for name, store in stores.items():
            named = store.classes or [str(i) for i in range(int(store.labels.max()) + 1)]
            if store.labels.max() >= len(named):
                raise UserError(f'{store.path}: a label is outside its {len(named)} classes: repair the store first')
            mask: dict = dict(mask=name) if names else {}
            for i, sample in enumerate(store.samples):
                about = {k: v for k, v in sample.items() if k not in OWN}
                for key, shift in (('label', len(classes)), ('subject', subjects)):
                    about[key] = None if about.get(key) is None else about[key] + shift
                keypoints, scores = store.keypoints(i), store.scores(i)
                if kind['scores'] and scores is None:
                    scores = np.asarray(keypoints.any(-1)).astype(np.float32)
                writer.add(f'{name}/{sample["id"]}', ways[name](keypoints), scores=joined(ways[name], scores),
                           **about, **mask)
            for split, ids in store.splits.items():
                ids = [f'{name}/{sample}' for sample in ids]
                writer.set_split(f'{name}_{split}', ids)
                if split in joint:
                    writer.set_split(split, [*writer.splits.get(split, []), *ids])
            classes += [f'{name}: {title}' for title in named]
            subjects += int(store.subjects.max()) + 1
        writer.index['classes'] = classes
        if names:
            writer.index['joint_masks'] = {name: joint_mask(store.layout, layout).astype(int).tolist()
                                           for name, store in stores.items()}


Way = Callable[[np.ndarray], np.ndarray]


def _ways(stores: dict[str, SkeletonStore], to: str | None, names: bool,
          missing: Missing) -> tuple[SkeletonLayout, Mapping[str, Way], dict]:
    """Return the pool's layout, a conversion for the clips of each store, and the provenance entries."""
    for store in stores.values():
        refuse_pool(store)
    if to and names:
        raise UserError('merge takes --to or --names, not both')
    if names:
        union = union_layout(store.layout for store in stores.values())
        return union, {name: partial(into_union, layout=store.layout, union=union)
                       for name, store in stores.items()}, dict(names=True)
    if to:
        target = read_layout(to)
        plans = {name: conversion(store.layout, target, missing) for name, store in stores.items()}
        return target, plans, dict(to=to, missing=missing,
                                   joints={name: plan.describe() for name, plan in plans.items()})
    first = next(iter(stores.values()))
    other = next((store for store in stores.values() if store.layout != first.layout), None)
    if other is not None:
        every = [{store.layout.name, *targets_of(store.layout)} for store in stores.values()]
        common = [name for name in LAYOUTS if all(name in targets for targets in every)]
        to = f'--to LAYOUT ({", ".join(common)})' if common else '--to LAYOUT'
        raise UserError(f'{first.path} and {other.path} have different layout, {first.layout.name} and '
                        f'{other.layout.name}: add {to}, or --names for the joints of both')
    return first.layout, dict.fromkeys(stores, lambda clip: clip), {}
