"""Locks a work_dir, lists its checkpoints and finds those that are intact."""
import errno
import fcntl
import glob
import json
import os
import os.path as osp
import re
import socket
from contextlib import contextmanager

from mmskelssl.atomic import file_hash, write_atomically
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.checkpoint_schema import check_resumable
from mmskelssl.engine.distributed import is_first_process
from mmskelssl.errors import UserError

_MAX_MANIFEST = 1 << 24  # characters, some 20,000 checkpoints


@contextmanager
def sole_writer(work_dir: str, launcher: str = 'none'):
    """Lock a work_dir for this run, so that a second run is refused.

    The kernel releases the lock when the process ends, regardless of how it ends, and workers do not inherit it. If a
    ``launcher`` starts several ranks, the first one holds the lock.

    Raises:
        UserError: If another run holds the lock, or the folder cannot be written to.
    """
    if not is_first_process(launcher):
        yield
        return
    try:
        os.makedirs(work_dir, exist_ok=True)
        handle = os.open(osp.join(work_dir, '.lock'), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        file = open(handle, 'r+')
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f'{work_dir}/.lock is a link, which no run has made: remove it') from error
        raise UserError(f'{work_dir} cannot be written to: {error.strerror}; choose another --work-dir') from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise UserError(f'{work_dir} is in use by another run ({file.read().strip()}): wait for it, or choose '
                                'another --work-dir') from error
            # The file system does not support locks: continue without one.
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}')
        file.flush()
        yield


def remove_half_written(work_dir: str, launcher: str = 'none') -> None:
    """Remove the temporary files of :func:`write_atomically` that a killed run has left."""
    for rest in glob.glob(osp.join(glob.escape(work_dir), '*.[0-9]*.tmp')) if is_first_process(launcher) else []:
        if osp.isfile(rest) or osp.islink(rest):
            os.remove(rest)


def read_manifest(work_dir: str) -> dict[str, dict]:
    """Return the manifest entries of checkpoints by file name, in the order of writing.

    The result is empty if the manifest is damaged or missing. Entries whose name is not that of a checkpoint in this
    folder are ignored, because files are removed by these names.
    """
    path = osp.join(work_dir, 'manifest.json')
    if not osp.isfile(path):  # a pipe would block
        return {}
    try:
        with open(path, encoding='utf-8') as file:
            content = json.loads(file.read(_MAX_MANIFEST))
        return {name: dict(entry) for name, entry in content.items() if re.fullmatch(r'\w[\w.-]*\.pth', name)}
    except (AttributeError, OSError, RecursionError, TypeError, ValueError):
        return {}


def write_manifest(work_dir: str, manifest: dict[str, dict]) -> None:
    text = json.dumps(manifest, indent=1)
    write_atomically(osp.join(work_dir, 'manifest.json'), text.encode())


def checkpoints(work_dir: str) -> list[str]:
    """Return the checkpoints ``epoch_N.pth`` and ``iter_N.pth`` of a work_dir in the order of writing.

    Checkpoints that are missing from the manifest come last, sorted by iteration: the run was killed before it could
    list them.
    """
    names = {osp.basename(path) for path in glob.glob(osp.join(glob.escape(work_dir), '*.pth'))
             if re.fullmatch(r'(epoch|iter)_\d+\.pth', osp.basename(path))}
    listed = [osp.join(work_dir, name) for name in read_manifest(work_dir) if name in names]
    return listed + sorted({osp.join(work_dir, name) for name in names} - set(listed), key=_iteration)


def _iteration(path: str) -> float:
    try:
        return float(load_checkpoint(path)['meta']['iter'])
    except (UserError, KeyError, TypeError, ValueError):
        return float('inf')  # tried first, and reported by name


def newest_sound(work_dir: str, resume: bool = True) -> tuple[str | None, list[str]]:
    """Find the newest checkpoint that can be opened and is unchanged since it was written.

    Args:
        resume: Also require everything that a resumed run needs.

    Returns:
        Its path, or None if there are no checkpoints, and the reason why each newer one was skipped.

    Raises:
        UserError: If there are checkpoints, but none is intact.
    """
    manifest, found = read_manifest(work_dir), checkpoints(work_dir)
    broken: list[str] = []
    for path in reversed(found):
        problem = _problem(path, manifest.get(osp.basename(path), {}), resume)
        if problem is None:
            return path, broken
        broken.append(problem)
    if broken:
        raise UserError(f'no checkpoint in {work_dir} can be used: {"; ".join(broken)}. Choose another --work-dir to '
                        'start anew')
    return None, broken


def _problem(path: str, entry: dict, resume: bool = True) -> str | None:
    if 'sha256' in entry and file_hash(path) != entry['sha256']:
        return f'{path}: its content has changed since it was written (sha256 differs from manifest.json)'
    try:
        checkpoint = load_checkpoint(path)
        if resume:
            check_resumable(checkpoint, path)
    except UserError as error:
        return str(error)
    return None


def prune(work_dir: str, keep: int) -> None:
    """Remove the oldest checkpoints so that ``keep`` remain.

    It is called after a new checkpoint has been written, read back and listed. The new checkpoint is the last in the
    manifest and is kept.
    """
    manifest = read_manifest(work_dir)
    for name in list(manifest)[:-keep] if keep > 0 else []:
        path = osp.join(work_dir, name)
        if osp.isfile(path):
            os.remove(path)
        del manifest[name]
    write_manifest(work_dir, manifest)


def last_checkpoint(path: str) -> str:
    """Return the newest intact checkpoint of the last stage if ``path`` is a work_dir, and any other path unchanged.

    Raises:
        UserError: If the folder contains no checkpoint, or several runs.
    """
    if not osp.isdir(path):
        return path
    below = sorted(entry.path for entry in os.scandir(path) if entry.is_dir())
    folders = [path] if checkpoints(path) else [folder for folder in below if checkpoints(folder)]
    if not folders:
        raise UserError(f'{path}: no checkpoint epoch_N.pth or iter_N.pth in this folder; name a file, or the work_dir '
                        'of a run')
    # A run locks its work_dir. The folders of its stages have no lock.
    if len(folders) > 1 and any(osp.exists(osp.join(folder, '.lock')) for folder in folders):
        raise UserError(f'{path} holds several runs ({", ".join(map(osp.basename, folders))}): name one of them')
    last = max(folders, key=lambda folder: max(map(osp.getmtime, checkpoints(folder))))
    found, broken = newest_sound(last, resume=False)
    assert found is not None  # newest_sound raises otherwise
    print(f'{path}: taking {found}' + ''.join(f'; skipped {problem}' for problem in broken))
    return found
