"""Folders that only the user can write to, held by their descriptor: nothing in them is reached through a link."""
import errno
import os
import os.path as osp
import stat

# A link is refused, and a pipe that lies in a file's place does not block.
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class OwnFolder:
    """A folder that belongs to the user and that nobody else can write to; a context manager.

    Files are opened relative to its descriptor, so that nothing changes under way. What lies in a file's place but is a
    link, a pipe, a device or a folder is an error, and so is a hard link to a file elsewhere.

    Args:
        path: The folder; it is made if it is not there, and may itself not be a link.
        mode: Of a folder that is made.

    Raises:
        OSError: It cannot be made or opened, or it is not the user's own.
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
        """A regular file of the folder, as :func:`open` gives it; a new one only where nothing has its name.

        Args:
            mode: Without ``w`` and ``a``: a file that is there is never emptied by opening it.
            create: Make the file if there is none.
        """
        flags = os.O_RDWR if '+' in mode else os.O_RDONLY
        try:
            handle = os.open(name, flags | _SAFE, dir_fd=self._handle)
        except FileNotFoundError:
            if not create:
                raise
            handle = os.open(name, flags | _SAFE | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self._handle)
        try:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
                raise OSError(errno.EINVAL, 'it is no regular file with one name', osp.join(self.path, name))
            os.set_blocking(handle, True)
            return os.fdopen(handle, mode, **options)
        except BaseException:
            os.close(handle)
            raise

    def create(self, name: str):
        """A new file, open for reading and writing, in the place of whatever has this name."""
        self.remove(name)
        return self.open(name, 'r+b', create=True)

    def remove(self, name: str) -> None:
        """Remove a file, or the link in its place, if there is one."""
        try:
            os.unlink(name, dir_fd=self._handle)
        except FileNotFoundError:
            pass

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, which it takes over from a file or link that has it."""
        os.rename(old, new, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def names(self) -> list[str]:
        """What lies in the folder, sorted."""
        return sorted(os.listdir(self._handle))


def reserve(file, size: int) -> None:
    """Make room for a file on its disk at once; OSError where there is none.

    Without it a mapped file that outgrows the disk ends the process by SIGBUS.
    """
    if hasattr(os, 'posix_fallocate'):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        os.truncate(file.fileno(), size)


def user_cache() -> str:
    """Folder ``mmskelssl`` in the user's cache directory: ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    return osp.join(base if osp.isabs(base) else osp.expanduser('~/.cache'), 'mmskelssl')
