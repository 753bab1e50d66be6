"""Converts a store to another layout."""
from collections.abc import Callable

import numpy as np
from rich.progress import track

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter, kind_of
from mmskelssl.errors import UserError
from mmskelssl.layouts.convert import Missing, conversion
from mmskelssl.layouts.library import read_layout

OWN = ('id', 'offset', 'persons', 'frames')  # keys of a sample that the writer sets


def convert(path: str, out: str, to: str, missing: Missing = 'ends', overwrite: bool = False) -> None:
    """Write a copy of a store in another layout (:func:`~mmskelssl.layouts.convert.convert_layout`).

    Ids, labels, splits, units and the number of coordinates are kept. The score of an interpolated joint is the mean
    score of its source joints, or 0 if one of them is missing. The rule of each joint is printed and recorded in the
    store's provenance.

    Args:
        path: Store to read.
        out: Store to write.
        to: Layout name or json file.
        missing: Which joints without a counterpart in the store repeat another: ``ends``, ``refuse`` or ``repeat``.
        overwrite: Replace an existing store.
    """
    store = SkeletonStore(path)
    refuse_pool(store)
    plan = conversion(store.layout, read_layout(to), missing)
    how = plan.describe()
    store.verify_hash()  # the copy has hashes of its own, which would call damaged frames sound
    with StoreWriter(out, plan.target, classes=store.classes, **kind_of(store), source=f'convert {path}',
                     overwrite=overwrite,
                     options=dict(to=to, missing=missing, data_hash=store.data_hash, joints=how)) as writer:
        for i in track(range(len(store)), 'converting', disable=len(store) < 5000):
            about = {key: value for key, value in store.samples[i].items() if key not in OWN}
            writer.add(store.ids[i], plan(store.keypoints(i)), scores=joined(plan, store.scores(i)), **about)
        for split, ids in store.splits.items():
            writer.set_split(split, ids)
    print(f'{store.layout.name} -> {plan.target.name}: ' + '\n  '.join(how))


def joined(way: Callable[[np.ndarray], np.ndarray], scores: np.ndarray | None) -> np.ndarray | None:
    """Convert scores (M, T, V) in the same way as ``way`` converts clips (M, T, V, C)."""
    return None if scores is None else way(scores[..., None])[..., 0]


def refuse_pool(store: SkeletonStore) -> None:
    """Refuse a pool by names. Its samples have zeros for missing joints, which cannot be converted."""
    if store.joint_masks is not None:
        raise UserError(f'{store.path} is a pool by names: use the stores that it was made from')
