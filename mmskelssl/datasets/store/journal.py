"""What an interrupted import has finished, and what it was read from: changed sources are read again."""
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

# (file or archive, name in it) -> (size, time of the last change in ns, sha256)
Reads = dict[tuple[str, str], tuple[int, int, str]]
LISTING = '*'  # in the place of a name: the list of a source's other files
LISTS = ('samples', 'skipped', 'repaired', 'noted')
_reads: ContextVar[Reads | None] = ContextVar('reads', default=None)


@contextmanager
def noting_reads() -> Iterator[Reads]:
    """Within, :func:`note_read` adds to the dict that this gives."""
    reads: Reads = {}
    token = _reads.set(reads)
    try:
        yield reads
    finally:
        _reads.reset(token)


def note_read(path: str, name: str, size: int, time: int, digest: str) -> None:
    """Note that a source file has been read, and what it was like."""
    reads = _reads.get()
    if reads is not None:
        reads[path, name] = size, time, digest


class Journal:
    """A file of one line an item: its name, where its frames end, what it was read from, what came of it.

    Args:
        file: Binary file, open for reading and writing.
        about: What is imported and how; a journal of something else is dropped.
        frames: Bytes of frames that are there; what the journal says beyond them is dropped.
    """

    def __init__(self, file, about: dict, frames: int):
        self._file, self._head = file, _line(about)
        self.entries: list[dict] = []  # of the interrupted import, then of this one
        self.done, self._clean = 0, False  # entries that this import has taken over or added; the file holds just them
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
            pass  # the rest of a damaged journal is done again

    def take(self, items: Sequence[str], given: Reads, changed: Callable) -> tuple[list[dict], str]:
        """Take over the next entries as far as they are about these items and their sources are as they were.

        Args:
            items: What is to be imported next, in order.
            given: What this import has read before them.
            changed: ``changed(path, name, stamp)``: whether a file is no longer as it was.

        Returns:
            The entries, and why the next one was not taken: ``''`` where there is none.
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
        """Add an entry, for good; those that were not taken over are dropped, and so is a half-written line."""
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
