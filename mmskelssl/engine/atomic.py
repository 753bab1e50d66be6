"""Files that are either whole or not there."""
import hashlib
import os
import os.path as osp

import torch
from mmengine.fileio import LocalBackend, register_backend

from mmskelssl.datasets.store import file_hash
from mmskelssl.engine.unpickle import STAND_INS
from mmskelssl.errors import UserError


def write_atomically(path: str, data: bytes, check=None) -> None:
    """Write ``path`` so that an interruption leaves the old file, or none, but never half of the new one.

    Args:
        check: Called with the temporary file's path before that takes the place of the old one; may raise.
    """
    folder = osp.dirname(path) or '.'
    os.makedirs(folder, exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check:
            check(temporary)
        os.replace(temporary, path)
    except BaseException:
        if osp.exists(temporary):
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


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with atomic writes of bytes: checkpoints pass through here and are read back at once."""

    def put(self, obj: bytes, filepath) -> None:
        path = str(filepath)

        def check(temporary):
            if file_hash(temporary) != hashlib.sha256(obj).hexdigest():
                raise OSError('the file read back differs from what was written')
            if path.endswith('.pth'):
                with torch.serialization.safe_globals(STAND_INS):
                    torch.load(temporary, map_location='meta', weights_only=True)  # as it will be read
        try:
            write_atomically(path, obj, check)
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror or error}; earlier files are as they were. '
                            'Make room or repair the disk, then go on with --resume') from error


register_backend('local', AtomicLocalBackend, force=True, prefixes='')
