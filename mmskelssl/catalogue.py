"""Names for what the command line chooses and configs do not build: importers, protocols, recipes."""
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from mmskelssl.errors import UserError

T = TypeVar('T')


class Catalogue(Mapping[str, T], Generic[T]):
    """A read-only mapping that grows by registration only.

    Args:
        kind: What the entries are, for messages: ``'importer'``.
        entries: The first ones.

    Example::

        @IMPORTERS.register('mine')
        def import_mine(path, writer): ...
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None):
        self.kind, self._entries = kind, dict(entries or {})

    def register(self, name: str, entry: T | None = None, *, force: bool = False) -> Callable[[T], T] | T:
        """Add an entry; without one, return a decorator that adds what it decorates.

        Args:
            name: Its name on the command line.
            force: Replace an entry of this name. Numbers under one name are compared with each other: do not replace
                a published recipe.

        Raises:
            UserError: The name is taken.
        """
        def add(value: T) -> T:
            if name in self._entries and not force:
                raise UserError(f'the {self.kind} {name!r} exists already: choose another name, or replace it with '
                                'force=True')
            self._entries[name] = value
            return value
        return add if entry is None else add(entry)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            near = difflib.get_close_matches(str(name), self._entries, 3, 0.5)
            hint = f'did you mean {" or ".join(near)}? ' if near else ''
            raise UnknownName(f'unknown {self.kind} {name!r}: {hint}choose one of {", ".join(self)}') from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.kind}: {", ".join(self)})'


class UnknownName(UserError, KeyError):
    """A name that a catalogue does not have; the message says which ones it has, and the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError's would quote it
