"""Writes changed samples and splits of a store of shards. Frames and ids stay as they are."""
import os
import os.path as osp

import numpy as np

from mmskelssl.datasets.store.schema import NOTES, is_name
from mmskelssl.datasets.store.shard_files import ENTRIES, FOLDER, file_name
from mmskelssl.datasets.store.shard_writer import masks_of, pack, write_entries, write_index
from mmskelssl.datasets.store.shards import Shards
from mmskelssl.errors import UserError


def write_changed(store: Shards) -> None:
    """Write the entries of those shards whose samples or splits have changed, then ``index.json``.

    The files of a changed shard get a new name, so a killed change leaves the store as it was.

    Args:
        store: Store whose samples, splits or index were changed (:meth:`Shards.thaw`).

    Raises:
        UserError: The changed index would not be valid; the store stays unchanged.
    """
    wrong = next((name for name in store.splits if not is_name(name)), None)
    if wrong is not None:
        raise UserError(f'{store.path} is left unchanged: {wrong!r} is not a valid name for a split')
    try:
        masks = masks_of(store.samples, {name: ids for name, ids in store.splits.items() if ids})
    except UserError as error:
        raise UserError(f'{store.path} is left unchanged: {error}') from error
    folder, old, entries = osp.join(store.path, FOLDER), [], []
    for number, (shard, part) in enumerate(zip(store.shards, store.parts(), strict=True)):
        samples, entry = store.samples[part.start:part.stop], shard.entry
        here = {name: mask[part.start:part.stop] for name, mask in masks.items()}
        if not all(map(np.array_equal, pack(samples, here), (shard.numbers, shard.extras))):
            revision = entry['revision'] + 1
            kept = {what: about for what, about in entry['files'].items() if what not in ENTRIES}
            old += [file_name(number, what, revision - 2) for what in ENTRIES if revision > 1]
            entry = dict(entry, revision=revision,
                         files=kept | write_entries(folder, number, revision, samples, here))
        entries.append(entry)
    provenance = {key: value for key, value in store.index['provenance'].items() if key not in NOTES}
    index = {key: value for key, value in store.index.items() if key != 'samples'}
    write_index(store.path, dict(index, splits=list(masks), shards=entries, provenance=provenance))
    for name in old:  # those of the last change stay, for runs that opened the store before this one
        if osp.lexists(osp.join(folder, name)):
            os.unlink(osp.join(folder, name))
