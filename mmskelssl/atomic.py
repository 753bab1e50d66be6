"""Atomic file writes and file hashes."""
import errno
import hashlib
import os
import os.path as osp


def file_hash(path: str) -> str:
    """Return the SHA-256 hash of a file."""
    with open(path, 'rb') as file:
        return stream_hash(file)


def stream_hash(file) -> str:
    """Return the SHA-256 hash of the rest of an open file."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_atomically(path: str, data: bytes, check=None) -> None:
    """Write a file so that an interruption leaves the old file or none, but never a part of the new one.

    Args:
        path: File to write. Its folder is created.
        data: Content of the file.
        check: Called with the path of the temporary file before it replaces the old one. It may raise to keep the old
            file.

    Raises:
        OSError: If the file cannot be written, or something else than a file or a link has its name. A device or a pipe
            would be replaced by a file.
    """
    if osp.lexists(path) and not osp.islink(path) and not osp.isfile(path):
        raise OSError(errno.EINVAL, 'it is not a regular file', path)
    folder = osp.dirname(path) or '.'
    os.makedirs(folder, exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        if osp.lexists(temporary):  # left by a killed process with the same id, or a link, which must not be followed
            os.remove(temporary)
        with open(temporary, 'xb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check:
            check(temporary)
        os.replace(temporary, path)
    except BaseException:
        if osp.lexists(temporary):
            os.remove(temporary)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Flush a rename to disk so that it survives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
