"""Makes a store of one array the first shard of a store of shards."""
import os
import os.path as osp
import shutil

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import NOTES, SHARDS
from mmskelssl.datasets.store.shard_files import FOLDER, file_name
from mmskelssl.datasets.store.shard_writer import about_file, masks_of, write_entries, write_names
from mmskelssl.datasets.store.shards import Shards
from mmskelssl.errors import UserError


def sharded_index(store: SkeletonStore) -> dict:
    """Return the ``index.json`` of a store of shards.

    Files of a store of one array become those of shard 0. ``index.json`` is not written, so it stays the store that it
    is until :func:`~mmskelssl.datasets.store.shard_writer.write_index`; then call :func:`remove_single`.

    Raises:
        UserError: A split of the store is not valid.
    """
    if isinstance(store.content, Shards):
        return store.content.raw
    store.verify_hash()  # the shard has hashes of its own, which would call damaged frames sound
    samples, splits = store.samples, store.splits
    try:
        masks = masks_of(samples, splits)
    except UserError as error:
        raise UserError(f'{store.path}: {error}: repair the store first') from error
    for name, mask in masks.items():
        if store.split(name).tolist() != np.flatnonzero(mask).tolist():
            print(f'note: the clips of the split {name!r} are now in the order of the store')
    folder = osp.join(store.path, FOLDER)
    os.makedirs(folder, exist_ok=True)
    written = ['keypoints', *['scores'] * store.has_scores]
    for what in written:
        _link(osp.join(store.path, f'{what}.npy'), osp.join(folder, file_name(0, what, 0)))
    provenance = dict(store.index['provenance'])
    notes = {key: provenance.pop(key) for key in NOTES}
    written += write_names(folder, 0, samples, notes)
    files = {what: about_file(folder, 0, what) for what in written} | write_entries(folder, 0, 0, samples, masks)
    kept = {key: value for key, value in store.index.items()
            if key not in ('samples', 'splits', 'sha256', 'scores_sha256')}
    shard = dict(rows=int((store.persons.astype(np.int64) * store.frames).sum()), samples=len(store), revision=0,
                 files=files)
    return dict(kept, version=SHARDS, storage='float32', scores=store.has_scores, splits=list(masks), shards=[shard],
                provenance=dict(provenance, counts={key: len(entries) for key, entries in notes.items()}))


def remove_single(path: str) -> None:
    """Remove the files of a store of one array next to its shards."""
    for name in ('keypoints.npy', 'scores.npy', 'index.npz'):
        if osp.lexists(osp.join(path, name)):
            os.unlink(osp.join(path, name))


def _link(old: str, new: str) -> None:
    """Give a file a second name, or copy it on a file system without such names."""
    if osp.lexists(new):
        os.unlink(new)
    try:
        os.link(osp.realpath(old), new)
    except OSError:
        shutil.copyfile(old, new)
