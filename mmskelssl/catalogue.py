"""Catalogues of objects that are selected on the command line, not in configs: importers, protocols and recipes."""
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from mmskelssl.errors import UserError

T = TypeVar('T')


class Catalogue(Mapping[str, T], Generic[T]):
    """A mapping to which entries can only be added by registration.

    Args:
        kind: Kind of the entries, for messages, such as ``'importer'``.
        entries: Initial entries.

    Example::

        @IMPORTERS.register('mine')
        def import_mine(path, writer): ...
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None):
        self.kind, self._entries = kind, dict(entries or {})

    def register(self, name: str, entry: T | None = None, *, force: bool = False) -> Callable[[T], T] | T:
        """Add an entry. Without an entry, return a decorator that adds the decorated object.

        Args:
            name: Name of the entry on the command line.
            entry: Object to add.
            force: Replace an existing entry of this name. Do not replace a published recipe, because results with the
                same name are compared with each other.

        Raises:
            UserError: If the name is already taken.
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
    """A name that a catalogue does not contain. The message lists the available names and suggests the closest."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote the message
