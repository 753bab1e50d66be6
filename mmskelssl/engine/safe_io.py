"""Safe files behind mmengine: written whole, and read without running anything in them."""
import hashlib

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import CheckpointLoader

from mmskelssl.atomic import file_hash, write_atomically
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.unpickle import STAND_INS
from mmskelssl.errors import UserError


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


# mmengine logs the loader's name without its first ten letters, hence `load_from_`.
def load_from_disk(filename: str, map_location=None) -> dict:
    """Always to the CPU, whatever mmengine asks for.

    torch copies from there what belongs on the GPU. AdamW's step counts stay: on a GPU it would wait for each of them.
    """
    return load_checkpoint(filename)


def install_safe_io() -> None:
    """Put safe reading and writing behind mmengine, for the whole process.

    Every load of mmengine (``load_from``, ``resume``, ``init_cfg=dict(type='Pretrained')``) then goes through
    :func:`~mmskelssl.engine.checkpoint.load_checkpoint`, and local files are written whole or not at all. The entry
    points call it; importing the package changes nothing. Calling it again does nothing.
    """
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')
    for scheme in {'', *CheckpointLoader._schemes}:
        CheckpointLoader.register_scheme(scheme, load_from_disk, force=True)
