"""Reads files of a folder or a zip archive one at a time, without unpacking, and only inside the folder."""
import hashlib
import os
import os.path as osp
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.store.journal import note_read
from mmskelssl.errors import UserError
from mmskelssl.npz import is_zip

# Far above any skeleton file of any data set; they stop zip bombs.
MAX_BYTES, MAX_TEXT = 1 << 29, 1 << 26


class Source:
    """A folder, a zip archive or a single file.

    Args:
        path: Path of the folder or file.

    Raises:
        UserError: The path does not exist.
    """

    def __init__(self, path: str):
        self.path = os.fspath(path)
        if not osp.exists(self.path):
            raise UserError(f'{self.path}: no such file or folder')
        self._zip: zipfile.ZipFile | None = None
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self.is_zip = osp.isfile(self.path) and is_zip(self.path) and not self.path.lower().endswith('.npz')
        if not self.is_zip and osp.isfile(self.path) and self.path.lower().endswith('.zip'):
            raise UserError(f'{self.path}: a damaged zip archive (it has no end): is it the whole file?')

    def __getstate__(self):
        return dict(self.__dict__, _zip=None, _entries={})  # each process opens the archive itself

    def called(self, name: str) -> str:
        """Return a file's name for messages. A single file, which is listed as ``.``, has that of its path."""
        return osp.basename(self.path) if name == '.' else name

    def files(self, *endings: str) -> list[str]:
        """Return sorted relative names of files with these endings, in upper or lower case, without hidden files."""
        if self.is_zip:
            names = [_slashes(entry.filename) for entry in self._archive().infolist() if not entry.is_dir()]
        elif osp.isdir(self.path):
            names = [osp.relpath(osp.join(folder, name), self.path).replace(os.sep, '/')
                     for folder, _, files in self._walk() for name in files]
        else:
            names = ['.']
        endings = tuple(ending.lower() for ending in endings)
        return sorted(name for name in names if _is_shown(name)
                      and (self.path if name == '.' else name).lower().endswith(endings))

    def links(self) -> list[str]:
        """Return the relative names of links to folders, whose files :meth:`files` does not list."""
        paths = [osp.join(folder, name) for folder, folders, _ in self._walk() for name in folders] if osp.isdir(
            self.path) else []
        names = [osp.relpath(path, self.path).replace(os.sep, '/') for path in paths if osp.islink(path)]
        return sorted(filter(_is_shown, names))

    def read(self, name: str) -> bytes:
        """Read a file, and record it for resumed imports. Raises a ValueError with the reason on failure."""
        stamp, data = self.stamp(name), None
        try:
            data = self._content(name)
            return data
        finally:
            note_read(self.path, name, *stamp, '' if data is None else hashlib.sha256(data).hexdigest())

    def stamp(self, name: str) -> tuple[int, int]:
        """Return a file's size and the change time (ns) of it or its archive; both are -1 for a missing file."""
        try:
            if self.is_zip:
                return self._entry(name).file_size, os.stat(self.path).st_ctime_ns
            about = os.stat(self.path if name == '.' else osp.join(self.path, name))
            return about.st_size, about.st_ctime_ns
        except (KeyError, OSError, UserError, ValueError):
            return -1, -1

    def _content(self, name: str) -> bytes:
        try:
            if self.is_zip:
                if '..' in PurePosixPath(name).parts or name.startswith('/'):
                    raise ValueError('its name leads out of the archive')
                entry = self._entry(name)
                if entry.file_size > MAX_BYTES:
                    raise ValueError(f'it would unpack to {entry.file_size >> 20} MiB, more than {MAX_BYTES >> 20}: '
                                     'split it')
                with self._archive().open(entry) as stream:
                    return stream.read(entry.file_size)  # never more than the stated size
            file = self.path if name == '.' else osp.join(self.path, name)
            if name != '.' and not osp.realpath(file).startswith(osp.realpath(self.path) + os.sep):
                raise ValueError('it is a link that leads out of the folder')
            if not osp.isfile(file):
                raise ValueError('it is not a regular file')
            if osp.getsize(file) > MAX_BYTES:
                raise ValueError(f'it has {osp.getsize(file) >> 20} MiB, more than {MAX_BYTES >> 20}: split it')
            with open(file, 'rb') as stream:
                return stream.read()
        except (KeyError, NotImplementedError, OSError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f'it cannot be read ({error})') from error
        except Exception as error:  # zlib and lzma raise their own errors
            raise error if isinstance(error, ValueError) else ValueError(f'it cannot be read ({error})') from error

    def text(self, name: str = '.') -> str:
        """Read a list that the whole import depends on. Raises a UserError with the reason on failure."""
        try:
            return text_of(self.read(name))
        except ValueError as error:
            raise UserError(f'{self.path if name == "." else osp.join(self.path, name)}: {error}') from error

    def _walk(self) -> Iterator[tuple[str, list[str], list[str]]]:
        def fail(error: OSError):
            raise UserError(f'{error.filename} cannot be listed ({error.strerror}): make it readable, or move it '
                            f'out of {self.path}') from error
        return os.walk(self.path, onerror=fail)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        archive = self._archive()
        return self._entries[name] if name in self._entries else archive.getinfo(name)

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip = zipfile.ZipFile(self.path)
                self._entries = {_slashes(entry.filename): entry for entry in self._zip.infolist()}
            except (OSError, zipfile.BadZipFile, ValueError) as error:
                raise UserError(f'{self.path}: a damaged zip archive ({error})') from error
        return self._zip


def changed(path: str, name: str, stamp: tuple[int, int, str]) -> bool:
    """Return whether a file has changed since it was read. The hash is compared if size or time differ."""
    try:
        source = Source(path)
        if source.stamp(name) == tuple(stamp[:2]):
            return False
        return (file_hash(path) if name == '.' else hashlib.sha256(source.read(name)).hexdigest()) != stamp[2]
    except (OSError, ValueError):  # the file is gone
        return True


def note_file(path: str) -> None:
    """Record a file that other code reads, such as a video, for resumed imports."""
    try:
        about = os.stat(path)
        note_read(path, '.', about.st_size, about.st_ctime_ns, file_hash(path))
    except OSError:
        note_read(path, '.', -1, -1, '')


def _is_shown(name: str) -> bool:
    return name == '.' or not any(part != '..' and part.startswith(('.', '__MACOSX'))
                                  for part in PurePosixPath(name).parts)


def _slashes(name: str) -> str:
    """Return a name in an archive with slashes between its folders. Some programs on Windows write backslashes."""
    return name.replace('\\', '/')


def evenly(items: Sequence, count: int) -> list:
    """Return at most ``count`` items, evenly spaced."""
    return [items[i * (len(items) - 1) // max(count - 1, 1)] for i in range(count)] if len(items) > count else [*items]


def stem(name: str) -> str:
    """Return the file name without folders and ending: ``folder/clip.txt`` gives ``clip``."""
    return PurePosixPath(name).name.rsplit('.', 1)[0]


def text_of(data: bytes) -> str:
    """Decode UTF-8 text, with or without a byte order mark. Raises a ValueError for anything else."""
    if len(data) > MAX_TEXT:
        raise ValueError(f'it is a text of {len(data) >> 20} MiB')
    if data[:2] in (b'\xff\xfe', b'\xfe\xff'):
        raise ValueError('it is not text in UTF-8 but in UTF-16: save it as UTF-8 (CSV UTF-8 in a spreadsheet)')
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'it is not text (byte {error.start})') from None
    if '\0' in text:
        raise ValueError('it is not text (it contains a zero byte)')
    return text
