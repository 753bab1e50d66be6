"""Folders that only the user can write to, accessed through a descriptor and never through links."""
import errno
import os
import os.path as osp
import stat

# Reject links, and do not block on a pipe in place of a file.
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class OwnFolder:
    """Context manager of a folder that belongs to the user and that no one else can write to.

    Files are opened relative to the folder's descriptor, so that a path cannot change in between. A link, pipe, device
    or folder in place of a file raises an error. So does a file with several hard links.

    Args:
        path: Path of the folder. It is created if it does not exist. It must not be a link.
        mode: Permissions of a new folder.

    Raises:
        OSError: If the folder cannot be created or opened, or other users own it or can write to it.
    """

    def __init__(self, path: str, mode: int = 0o755):
        self.path = path
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        try:
            os.mkdir(path, mode)
        except FileExistsError:
            pass
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            about = os.fstat(self._handle)
            if about.st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, 'it belongs to another user', path)
            if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise PermissionError(errno.EPERM, 'other users may write to it', path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'OwnFolder':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._handle)

    def open(self, name: str, mode: str = 'rb', create: bool = False, **options):
        """Open a regular file in the folder, like :func:`open`.

        Args:
            name: Name of the file.
            mode: Mode without ``w`` and ``a``, because opening an existing file must never truncate it.
            create: Create the file if nothing with this name exists.
            **options: Passed to :func:`os.fdopen`.

        Raises:
            OSError: If the file cannot be opened, is not a regular file or has several hard links.
        """
        _check_name(name)
        flags = os.O_RDWR if '+' in mode else os.O_RDONLY
        # Not exclusively: another process may create the file at the same time. O_NOFOLLOW also refuses dangling links.
        handle = os.open(name, flags | _SAFE | (os.O_CREAT if create else 0), 0o644, dir_fd=self._handle)
        try:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
                raise OSError(errno.EINVAL, 'not a regular file with a single name', osp.join(self.path, name))
            os.set_blocking(handle, True)
            return os.fdopen(handle, mode, **options)
        except BaseException:
            os.close(handle)
            raise

    def create(self, name: str):
        """Create a file and open it for reading and writing. An existing file or link of this name is replaced."""
        self.remove(name)
        return self.open(name, 'r+b', create=True)

    def remove(self, name: str) -> None:
        """Remove a file or link if it exists."""
        _check_name(name)
        try:
            os.unlink(name, dir_fd=self._handle)
        except FileNotFoundError:
            pass

    def rename(self, old: str, new: str) -> None:
        """Rename a file. An existing file or link of the new name is replaced."""
        _check_name(old)
        _check_name(new)
        os.rename(old, new, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def names(self) -> list[str]:
        """Return the sorted names of the folder's entries."""
        return sorted(os.listdir(self._handle))


def _check_name(name: str) -> None:
    """Refuse a path. An absolute one, or one with ``..``, would lead out of the folder."""
    if name in ('', '.', '..') or '/' in name:
        raise OSError(errno.EINVAL, 'not the name of a file', name)


def reserve(file, size: int) -> None:
    """Allocate disk space for a file.

    Without it, a memory-mapped file that exceeds the free space would kill the process with SIGBUS.

    Raises:
        OSError: If there is not enough space.
    """
    if hasattr(os, 'posix_fallocate'):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        os.truncate(file.fileno(), size)


def user_cache() -> str:
    """Return the folder ``mmskelssl`` in the user's cache directory, ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    return osp.join(base if osp.isabs(base) else osp.expanduser('~/.cache'), 'mmskelssl')
