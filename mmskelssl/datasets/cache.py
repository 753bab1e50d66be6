"""The cache of preprocessed arrays: its location, integrity checks and locking.

``KEY.npy`` and ``KEY.frames.npy`` belong together. ``KEY.json`` holds the size and sha256 of each and is written last.
The files are kept in a folder that only the user can write to (:class:`~mmskelssl.folders.OwnFolder`).
"""
import errno
import fcntl
import json
import os
import os.path as osp
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from mmskelssl.atomic import stream_hash
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder, reserve, user_cache
from mmskelssl.npz import map_array

FILES = ('.npy', '.frames.npy')  # clips (N, C, T, V, M) float32; true lengths (N,) int64
DTYPES = (np.float32, np.int64)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR)


def cached(store: str, data_hash: str, key: str, make: Callable, chosen: str | None = None):
    """Return the arrays of a key. The first process that needs them creates them, and others wait for it.

    Args:
        store: Folder of the store. Its subfolder ``cache`` is used if the user owns it; otherwise, and for an address,
            the user's cache directory is used.
        data_hash: Hash of the store. :func:`check_caches` uses it to find the arrays of the store.
        key: Prefix of the file names.
        make: ``make(folder, key)`` writes the finished files ``KEY.npy.partial`` and ``KEY.frames.npy.partial``.
        chosen: Folder to use instead.

    Returns:
        Memory-mapped clips, and lengths.

    Raises:
        UserError: The folder cannot be used, or the disk is full.
    """
    places = _places(store, chosen)
    for place in places:
        try:
            with _folder(place) as folder:
                return read(folder, key) or _make(folder, data_hash, key, make)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise UserError(f'{place}: no room for the preprocessed clips ({error.strerror}): free some space, set '
                                "another folder with data.cache_dir, or data.preprocess='batch'") from error
            if error.errno not in _REFUSED or place == places[-1]:
                raise UserError(f'{place} cannot be used for the preprocessed clips ({error.strerror}): set another '
                                'folder with data.cache_dir') from error


def exists(store: str, key: str, chosen: str | None = None) -> bool:
    """Return whether the arrays of a key are there, or are being made. They may turn out to be invalid."""
    return any(osp.isfile(osp.join(place, key + ending)) for place in _places(store, chosen)
               for ending in ('.json', f'{FILES[0]}.partial'))


def free_bytes(store: str, chosen: str | None = None) -> int:
    """Return the free space on the disk of the folder for arrays; 0 if there is no folder that can be written to."""
    for place in _places(store, chosen):
        place = osp.abspath(place)
        while not osp.isdir(place):
            place = osp.dirname(place)
        if os.access(place, os.W_OK):
            return shutil.disk_usage(place).free
    return 0


def _places(store: str, chosen: str | None) -> list[str]:
    return [chosen] if chosen else [*([] if '://' in store else [osp.join(store, 'cache')]), user_cache()]


def _folder(place: str) -> OwnFolder:
    return OwnFolder(place, 0o700 if place == user_cache() else 0o755)


def _make(folder: OwnFolder, data_hash: str, key: str, make: Callable):
    with locked(folder, f'{key}.lock'):
        if arrays := read(folder, key):
            return arrays
        for name in (f'{key}.json', *(key + ending for ending in FILES)):  # invalid files are created again
            folder.remove(name)
        make(folder, key)
        files = {}
        for ending in FILES:
            with folder.open(f'{key}{ending}.partial') as file:
                files[key + ending] = dict(bytes=os.fstat(file.fileno()).st_size, sha256=_hash(file))
            folder.rename(f'{key}{ending}.partial', key + ending)
        with folder.create(f'{key}.json.partial') as file:
            file.write(json.dumps(dict(data_hash=data_hash, files=files)).encode())
        folder.rename(f'{key}.json.partial', f'{key}.json')
        return read(folder, key)


def read(folder: OwnFolder, key: str):
    """Return the clips and lengths of a key, or None if they are missing, incomplete or of unexpected size."""
    try:
        files = _about(folder, key)['files']
        arrays = []
        for ending, dtype in zip(FILES, DTYPES, strict=True):
            with folder.open(key + ending) as file:
                if os.fstat(file.fileno()).st_size != files[key + ending]['bytes']:
                    return None
                arrays.append(map_array(file, dtype))
        return (arrays[0], np.array(arrays[1])) if len(arrays[0]) == len(arrays[1]) else None
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EINVAL):  # links and pipes are replaced, never followed
            return None
        raise


def _about(folder: OwnFolder, key: str) -> dict:
    with folder.open(f'{key}.json') as file:
        try:
            return json.loads(file.read(4096))
        except RecursionError:
            raise ValueError('nested too deeply') from None


def new_array(folder: OwnFolder, name: str, dtype, shape: tuple[int, ...]) -> np.memmap:
    """Create an npy file and map it for writing. Raises OSError if the disk has no room for the whole file."""
    with folder.create(name) as file:
        header = dict(descr=np.lib.format.dtype_to_descr(np.dtype(dtype)), fortran_order=False, shape=shape)
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        start = file.tell()
        try:
            reserve(file, start + int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)
        except OSError:
            folder.remove(name)
            raise
        return np.memmap(file, dtype, 'r+', start, shape)


@contextmanager
def locked(folder: OwnFolder, name: str) -> Iterator[None]:
    """Hold a lock that other processes wait for.

    The lock ends with the process. The empty file remains, because others may have it open.
    """
    with folder.open(name, 'r+b', create=True) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_caches(store: str, data_hash: str) -> list[str]:
    """Read the cached arrays of a store, remove those changed since they were written, and return their paths."""
    wrong = []
    for place in (osp.join(store, 'cache'), user_cache()):
        if not osp.isdir(place):
            continue
        try:
            with _folder(place) as folder:
                wrong += [osp.join(place, f'{key}.npy') for key in _keys(folder, data_hash)
                          if not _is_sound(folder, key)]
        except OSError:
            continue  # not owned by the user, so never read
    return wrong


def _keys(folder: OwnFolder, data_hash: str) -> Iterator[str]:
    for name in folder.names():
        key = name.removesuffix('.json')
        try:
            if name.endswith('.json') and _about(folder, key)['data_hash'] == data_hash:
                yield key
        except (KeyError, OSError, TypeError, ValueError):
            continue


def _is_sound(folder: OwnFolder, key: str) -> bool:
    """Return whether the arrays of a key match their recorded hashes. Remove them if not."""
    with locked(folder, f'{key}.lock'):
        try:
            files = _about(folder, key)['files']
            for name in (key + ending for ending in FILES):
                with folder.open(name) as file:
                    if _hash(file) != files[name]['sha256']:
                        raise ValueError
            if read(folder, key) is None:
                raise ValueError
            return True
        except (AttributeError, KeyError, OSError, TypeError, ValueError):
            for name in (f'{key}.json', *(key + ending for ending in FILES)):
                folder.remove(name)
            return False


def _hash(file) -> str:
    file.seek(0)
    return stream_hash(file)
