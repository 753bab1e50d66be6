"""Changes to a store's index in place: splits and labels. The frames are never touched."""
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
from mmskelssl.errors import UserError


@contextmanager
def edited(path: str, command: str, options: dict) -> Iterator[SkeletonStore]:
    """A store whose ``index`` may be changed in the block; it is written when the block ends without an error.

    ``index.json`` is replaced as a whole or not at all. The change is kept in ``provenance.edits``, with the options.
    The data hash changes with it: runs on the store as it was are told apart from runs on what it is now.

    Args:
        path: Folder of the store.
        command: Name of the change.
        options: What decides its result, plain values; the block may add to it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f'{path} is not a store: {error.strerror}') from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of two at once, the second sees what the first has done
        store = SkeletonStore(path)
        yield store
        edit = dict(command=command, options=options, version=__version__)
        store.index.setdefault('provenance', {}).setdefault('edits', []).append(edit)
        write_atomically(osp.join(path, 'index.json'), json.dumps(store.index).encode())
        write_columns(path, store.index)
    except OSError as error:
        raise UserError(f'{path} cannot be changed: {error}') from error
    finally:
        os.close(handle)
