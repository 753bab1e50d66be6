"""In-place changes to the index of a store: splits and labels. The frames never change."""
import fcntl
import json
import os
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager

from mmskelssl import __version__
from mmskelssl.atomic import write_atomically
from mmskelssl.datasets.store.columns import write_columns
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.remote import is_remote
from mmskelssl.datasets.store.schema import check_index, plain
from mmskelssl.datasets.store.shard_edit import write_changed
from mmskelssl.datasets.store.shards import Shards
from mmskelssl.errors import UserError


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Wait until no other process changes a store, and keep others from changing it.

    Raises:
        UserError: The folder does not exist, or the path is an address.
    """
    if is_remote(path):
        raise UserError(f'{path} is an address, where nothing is changed: copy the store here')
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f'{path} is not a store: {error.strerror}') from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # a concurrent second edit sees the result of the first
        yield
    finally:
        os.close(handle)


@contextmanager
def edited(path: str, command: str, options: dict) -> Iterator[SkeletonStore]:
    """Yield a store whose ``index`` the block may change. It is written if the block ends without an error.

    ``index.json`` is replaced as a whole or not at all. The change is recorded in ``provenance.edits`` with its
    options. It also changes the data hash, which distinguishes runs on the old store from runs on the new one.

    Args:
        path: Folder of the store.
        command: Name of the change.
        options: Plain values that determine the result; the block may add to them.

    Raises:
        UserError: The folder is not a store, or it cannot be changed, or the changed index would not be valid.
    """
    with locked(path):
        store = SkeletonStore(path)
        if isinstance(store.content, Shards):
            store.content.thaw()
        yield store
        edit = dict(command=command, options=options, version=__version__)
        store.index.setdefault('provenance', {}).setdefault('edits', []).append(edit)
        try:
            if isinstance(store.content, Shards):
                write_changed(store.content)
            else:
                _check(path, store.index)
                write_atomically(osp.join(path, 'index.json'), json.dumps(store.index).encode())
                write_columns(path, store.index)
        except OSError as error:
            raise UserError(f'{path} cannot be changed: {error}') from error


def _check(path: str, index: dict) -> None:
    """Refuse to write an index that could not be read again, such as one with control characters in a class name."""
    try:
        check_index(index)
    except (KeyError, TypeError, UserError, ValueError) as error:
        raise UserError(f'{path} is left unchanged: {plain(str(error), 300)}') from error
