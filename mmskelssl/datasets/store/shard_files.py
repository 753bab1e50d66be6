"""The files of shards: their names, and access to those of a folder."""
import os
import os.path as osp
import stat
import weakref
from typing import BinaryIO, Protocol

FOLDER = 'shards'
ENTRIES = ('samples', 'extras')  # files that are written again when labels or splits change


def file_name(number: int, what: str, revision: int) -> str:
    """Return the name of a shard's file. It follows from numbers alone, so no ``index.json`` can name another file."""
    return f'{number:05d}.{what}' + (f'-{revision}' if what in ENTRIES else '') + (
        '.json' if what == 'notes' else '.npy')


class ShardFiles(Protocol):
    """Access to the files of shards."""

    def missing(self, number: int, what: str, revision: int, size: int) -> str:
        """Return what is wrong with a file that should have this size, or ''. Nothing is fetched to find out."""

    def open(self, number: int, what: str, revision: int, size: int, digest: str) -> BinaryIO:
        """Open a file for reading. An access that fetches files compares their size and SHA-256 hash first."""


class LocalFiles:
    """Files of the folder ``shards`` of a store. Links are not followed, and pipes are not waited for.

    The folder stays open. If the store is replaced in the meantime, its files are missing, not mixed with the new ones.

    Args:
        path: Folder of the store.

    Raises:
        OSError: If it has no such folder.
    """

    def __init__(self, path: str):
        self._handle = os.open(osp.join(path, FOLDER), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        weakref.finalize(self, os.close, self._handle)

    def missing(self, number: int, what: str, revision: int, size: int) -> str:
        try:
            about = os.stat(file_name(number, what, revision), dir_fd=self._handle, follow_symlinks=False)
        except OSError:
            about = None
        if about is None or not stat.S_ISREG(about.st_mode):
            return 'is missing, or not a regular file'
        return '' if about.st_size == size else f'has {about.st_size} bytes instead of {size}'

    def open(self, number: int, what: str, revision: int, size: int = 0, digest: str = '') -> BinaryIO:
        name = file_name(number, what, revision)
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._handle)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(0, 'it is not a regular file')
        return os.fdopen(handle, 'rb')
