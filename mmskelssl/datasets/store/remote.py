"""Stores at an address: a file of a shard is fetched when it is first used, compared with its hash, and kept.

``http://`` and ``https://`` need nothing else. Other addresses, such as ``s3://``, are read by fsspec. Because an
address can come from a checkpoint of someone else, only those that the user has allowed are opened.
"""
import errno
import os
import os.path as osp
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mmskelssl.atomic import stream_hash
from mmskelssl.datasets.cache import locked
from mmskelssl.datasets.store.schema import MAX_BYTES, plain
from mmskelssl.datasets.store.shard_files import FOLDER, file_name
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder, user_cache

ALLOWED, LIMIT = 'MMSKELSSL_STORES', 'MMSKELSSL_SHARD_CACHE_GB'
DEFAULT_LIMIT = 100  # GB
_TRIES, _TIMEOUT, _BLOCK = 3, 60, 1 << 20
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_remote(path: str) -> bool:
    """Return whether a store is named by an address instead of a folder."""
    return re.match(r'[a-zA-Z][a-zA-Z0-9+.-]*://', path) is not None


class RemoteFiles:
    """Files of shards at an address. They are kept in ``shards`` in the user's cache, under their hashes.

    If the kept files exceed the limit of ``MMSKELSSL_SHARD_CACHE_GB``, those that were not opened for the longest time
    are removed, and fetched again when they are needed.

    Args:
        address: Address of the store.

    Raises:
        UserError: The user has not allowed the address in ``MMSKELSSL_STORES``, or the limit is not a number.
    """

    def __init__(self, address: str):
        self.address, self._place = address.rstrip('/'), osp.join(user_cache(), FOLDER)
        self.removed: Callable[[set[str]], None] = lambda digests: None  # told which files are no longer kept
        if not any(f'{self.address}/'.startswith(prefix) for prefix in os.environ.get(ALLOWED, '').split()):
            trusted = plain(self.address.rsplit('/', 1)[0], 200)
            raise UserError(f'{plain(address, 200)}: to fetch stores from there, set {ALLOWED} to the beginnings of '
                            f'the addresses that you trust, such as {ALLOWED}={trusted}/')
        try:
            self._limit = float(os.environ.get(LIMIT) or DEFAULT_LIMIT) * 1e9
        except ValueError:
            raise UserError(f'{LIMIT} is {os.environ[LIMIT]!r}, not a number of GB') from None

    def index(self) -> bytes:
        """Fetch ``index.json``."""
        data = bytearray()

        def add(blocks: Iterator[bytes]) -> str:
            data.clear()
            for block in blocks:
                data.extend(block)
                if len(data) > MAX_BYTES:
                    return f'it is larger than {MAX_BYTES >> 20} MiB'
            return ''
        self._fetch('index.json', add)
        return bytes(data)

    def missing(self, number: int, what: str, revision: int, size: int) -> str:
        """Return '': whether a file is complete is known when it has been fetched."""
        return ''

    def open(self, number: int, what: str, revision: int, size: int, digest: str) -> BinaryIO:
        """Open the kept file, after fetching it if there is none with this size and hash."""
        try:
            with OwnFolder(self._place, 0o700) as folder:
                file = _kept(folder, size, digest)
                if file is None:
                    with locked(folder, 'lock'):  # another process may fetch the same file
                        file = _kept(folder, size, digest) or self._get(
                            folder, f'{FOLDER}/{file_name(number, what, revision)}', size, digest)
                os.utime(file.fileno())
                return file
        except OSError as error:
            raise UserError(f'{self._place} cannot be used for the shards of {self.address} '
                            f'({error.strerror or error}): free some space, or lower {LIMIT}') from error

    def _get(self, folder: OwnFolder, name: str, size: int, digest: str) -> BinaryIO:
        self._make_room(folder, name, size)
        partial = f'{digest}.partial'

        def write(blocks: Iterator[bytes]) -> str:
            with folder.create(partial) as file:
                for block in blocks:
                    file.write(block)
                    if file.tell() > size:
                        return f'it has more than the {size} bytes that index.json says'
                if file.tell() < size:
                    return f'only {file.tell()} of {size} bytes arrived'
                file.seek(0)
                return '' if stream_hash(file) == digest else 'its sha256 is not that of index.json'
        try:
            self._fetch(name, write)
            folder.rename(partial, digest)
        finally:
            folder.remove(partial)
        return folder.open(digest)

    def _make_room(self, folder: OwnFolder, name: str, size: int) -> None:
        """Remove the files that were not used for the longest time, so that one more stays within the limit."""
        if size > self._limit:
            raise UserError(f'{self.address}/{name} has {size / 1e9:.3g} GB, more than {LIMIT} allows')
        kept = []
        for digest in folder.names():
            if re.fullmatch('[0-9a-f]{64}', digest):
                with folder.open(digest) as file:
                    about = os.fstat(file.fileno())
                kept.append((about.st_mtime_ns, about.st_size, digest))
        total, gone = sum(bytes_ for _, bytes_, _ in kept) + size, set()
        for _, bytes_, digest in sorted(kept):
            if total > self._limit:
                folder.remove(digest)
                gone.add(digest)
                total -= bytes_
        if gone:
            self.removed(gone)

    def _fetch(self, name: str, use: Callable[[Iterator[bytes]], str]) -> None:
        """Give the blocks of a file to ``use``, which returns what is wrong, and try again if that is something."""
        url, wrong = f'{self.address}/{name}', ''
        for attempt in range(_TRIES):
            try:
                wrong = use(_blocks(url))
                if not wrong:
                    return
            except UserError:
                raise
            except Exception as error:  # libraries of object stores raise errors of their own
                if isinstance(error, OSError) and error.errno in _DISK:
                    raise
                wrong = plain(f'{type(error).__name__}: {error}', 200)
            if attempt < _TRIES - 1:
                time.sleep(attempt)
        raise UserError(f'{url} cannot be fetched ({wrong}; {_TRIES} attempts): try again later, or check the store '
                        'there with mmskelssl verify')


def _kept(folder: OwnFolder, size: int, digest: str) -> BinaryIO | None:
    """Open a kept file; None if there is none with this size and hash."""
    try:
        file = folder.open(digest)
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_size == size and stream_hash(file) == digest:
        file.seek(0)
        return file
    file.close()
    return None


def _blocks(url: str) -> Iterator[bytes]:
    """Yield the content of an address."""
    if url.startswith(('http://', 'https://')):
        opened = urllib.request.urlopen(url, timeout=_TIMEOUT)  # noqa: S310  the user has allowed it
    else:
        try:
            import fsspec
            opened = fsspec.open(url, 'rb').open()
        except ImportError as error:
            raise UserError(f'{url}: a package for such addresses is missing ({error}): pip install '
                            '"mmskelssl[remote]", for s3:// also s3fs, for gs:// gcsfs') from error
    with opened as file:
        while block := file.read(_BLOCK):
            yield block
