"""Makes mmengine write files atomically and read checkpoints without running code from them."""
import hashlib

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import CheckpointLoader

from mmskelssl.atomic import file_hash, write_atomically
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.unpickle import STAND_INS
from mmskelssl.errors import UserError


class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend with atomic writes of bytes. Checkpoints are read back after writing."""

    def put(self, obj: bytes, filepath) -> None:
        path = str(filepath)

        def check(temporary):
            if file_hash(temporary) != hashlib.sha256(obj).hexdigest():
                raise OSError('the file read back differs from what was written')
            if path.endswith('.pth'):
                with torch.serialization.safe_globals(STAND_INS):
                    torch.load(temporary, map_location='meta', weights_only=True)  # as load_checkpoint does
        try:
            write_atomically(path, obj, check)
        except OSError as error:
            raise UserError(f'{path} cannot be written: {error.strerror or error}; earlier files are unchanged. '
                            'Make room or repair the disk, then continue with --resume') from error


# The name begins with `load_from_` because mmengine logs the loader's name without its first ten letters.
def load_from_disk(filename: str, map_location=None) -> dict:
    """Load a checkpoint to the CPU, regardless of ``map_location``.

    torch copies tensors from there to the GPU as needed. AdamW's step counts stay on the CPU, which avoids a GPU
    synchronisation for each of them.
    """
    return load_checkpoint(filename)


def install_safe_io() -> None:
    """Make mmengine read and write files safely, for the whole process.

    Every load of mmengine (``load_from``, ``resume``, ``init_cfg=dict(type='Pretrained')``) then goes through
    :func:`~mmskelssl.engine.checkpoint.load_checkpoint`, and local files are written atomically. The entry points call
    this function; importing the package does not. Calling it again has no effect.
    """
    register_backend('local', AtomicLocalBackend, force=True, prefixes='')
    for scheme in {'', *CheckpointLoader._schemes}:
        CheckpointLoader.register_scheme(scheme, load_from_disk, force=True)
