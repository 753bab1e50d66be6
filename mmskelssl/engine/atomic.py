"""Files that are either whole or not there."""
import os
import os.path as osp

from mmengine.fileio import LocalBackend, register_backend


def write_atomically(path: str, data: bytes) -> None:
    """Write ``path`` so that an interruption leaves the old file, or none, but never half of the new one."""
    os.makedirs(osp.dirname(path) or '.', exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if osp.exists(temporary):
            os.remove(temporary)
        raise


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, with atomic writes of bytes: checkpoints pass through here."""

    def put(self, obj: bytes, filepath) -> None:
        write_atomically(str(filepath), obj)


register_backend('local', AtomicLocalBackend, force=True, prefixes='')
