"""Files that are either whole or not there, and their hashes."""
import hashlib
import os
import os.path as osp


def file_hash(path: str) -> str:
    """sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: str, data: bytes, check=None) -> None:
    """Write ``path`` so that an interruption leaves the old file, or none, but never half of the new one.

    Args:
        check: Called with the temporary file's path before that takes the place of the old one; may raise.
    """
    folder = osp.dirname(path) or '.'
    os.makedirs(folder, exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        if osp.lexists(temporary):  # of a killed process with the same number; or a link, which is not followed
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
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
