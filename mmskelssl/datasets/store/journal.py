"""Records the finished items of an import and their sources, so an interrupted import reads only the rest."""
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

# (file or archive, name in it) -> (size, time of the last change in ns, sha256)
Reads = dict[tuple[str, str], tuple[int, int, str]]
LISTING = '*'  # used as a name: the list of a source's other files
LISTS = ('samples', 'skipped', 'repaired', 'noted')
_reads: ContextVar[Reads | None] = ContextVar('reads', default=None)


@contextmanager
def noting_reads() -> Iterator[Reads]:
    """Yield a dict to which :func:`note_read` adds within the block."""
    reads: Reads = {}
    token = _reads.set(reads)
    try:
        yield reads
    finally:
        _reads.reset(token)


def note_read(path: str, name: str, size: int, time: int, digest: str) -> None:
    """Record that a source file has been read, with its size, change time and hash."""
    reads = _reads.get()
    if reads is not None:
        reads[path, name] = size, time, digest


class Journal:
    """A file with one line per item: its name, the end of its frames, its sources and its results.

    Args:
        file: Binary file, open for reading and writing.
        about: Description of the import. A journal with another description is discarded.
        frames: Number of existing bytes of frames. Journal entries beyond them are discarded.
    """

    def __init__(self, file, about: dict, frames: int):
        self._file, self._head = file, _line(about)
        self.entries: list[dict] = []  # from the interrupted import, then from this one
        self.done, self._clean = 0, False  # entries taken over or added; whether the file has only these
        lines = file.read().splitlines(keepends=True)
        try:
            for line in lines[1:] if lines[0] == self._head else ():
                entry = json.loads(line)
                if not line.endswith(b'\n') or entry['bytes'] > frames:
                    break
                entry['reads'] = {(path, name): (size, time, digest)
                                  for path, name, size, time, digest in entry['reads']}
                entry['item'], [entry[key] for key in LISTS]
                self.entries.append(entry)
        except (IndexError, KeyError, RecursionError, TypeError, ValueError):
            pass  # the rest of a damaged journal is imported again

    def take(self, items: Sequence[str], given: Reads, changed: Callable) -> tuple[list[dict], str]:
        """Take over the next entries while they match these items and their sources are unchanged.

        Args:
            items: Items to import next, in order.
            given: Files that this import has already read.
            changed: ``changed(path, name, stamp)`` returns whether a file has changed.

        Returns:
            The entries, and the reason why the next one was not taken; ``''`` if there is no next entry.
        """
        first, why = self.done, ''
        for item, entry in zip(items, self.entries[first:], strict=False):
            reads = entry['reads']
            before = given if self.done == first else {}
            other = [name for key, stamp in before.items() for name in key[1:]
                     if key not in reads or reads[key][2] != stamp[2]]
            other += [name for (path, name), stamp in reads.items()
                      if name != LISTING and (path, name) not in before and changed(path, name, stamp)]
            if other or entry['item'] != item:
                moved = not other or other[0] == LISTING
                why = 'files were added, removed or renamed' if moved else f'{other[0]} has changed'
                break
            self.done += 1
        return self.entries[first:self.done], why

    def append(self, **entry) -> None:
        """Append an entry to the file. Entries not taken over and a half-written line are discarded."""
        if not self._clean or self.done < len(self.entries):
            del self.entries[self.done:]
            self._file.seek(0)
            self._file.truncate()
            self._file.writelines([self._head, *map(_entry_line, self.entries)])
            self._clean = True
        self._file.write(_entry_line(entry))
        self._file.flush()
        self.entries.append(entry)
        self.done += 1


def _entry_line(entry: dict) -> bytes:
    return _line(dict(entry, reads=[[*key, *stamp] for key, stamp in entry['reads'].items()]))


def _line(content: dict) -> bytes:
    return json.dumps(content).encode() + b'\n'
