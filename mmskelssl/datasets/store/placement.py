"""Where a new store may appear, and how it gets there as a whole."""
import os
import os.path as osp

from mmskelssl.errors import UserError


def check_place(path: str, overwrite: bool) -> None:
    """Raise a UserError if no store may be written here. Folders that are not stores are never replaced."""
    if osp.lexists(path) and not overwrite:
        raise UserError(f'{path} exists: choose another path, or add --overwrite')
    if osp.lexists(path) and not osp.isfile(osp.join(path, 'index.json')):
        raise UserError(f'{path} exists and is not a store, so it is not overwritten: choose another path')


def put_in_place(store: str, path: str, overwrite: bool, old: str) -> None:
    """Move a finished store to its path.

    Args:
        store: Where it was written, on the same disk.
        path: Its path.
        overwrite: Replace an existing store.
        old: Where an existing store is moved to.
    """
    check_place(path, overwrite)  # check again: another process may have created it
    if not osp.lexists(path):
        os.rename(store, path)
        return
    os.rename(path, old)
    try:
        os.rename(store, path)
    except OSError:
        os.rename(old, path)
        raise
