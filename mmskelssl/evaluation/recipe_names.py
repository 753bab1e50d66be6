"""Names of recipes with changes: ``paper-actclr:epochs=150,steps=80/120`` is ``paper-actclr`` with other settings.

The canonical name of a changed recipe lists only the settings that differ, in the order of the recipe's fields. Results
are stored under this name, so they never pass as results of the plain recipe.
"""
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from mmskelssl.catalogue import Catalogue, UnknownName
from mmskelssl.errors import UserError

T = TypeVar('T')


class Recipes(Catalogue[T]):
    """A catalogue of recipes. Lookups accept changes after the name: ``recipes['paper:lr=1,steps=30/60']``.

    A name with changes is in the catalogue if the plain name is.
    """

    def register(self, name: str, entry: T | None = None, *, force: bool = False):
        if ':' in name:
            raise UserError(f'the {self.kind} {name!r}: a name must not contain a colon, which separates it from '
                            'changes')
        return super().register(name, entry, force=force)

    def __getitem__(self, name: str) -> T:
        base, colon, changes = str(name).partition(':')
        recipe = super().__getitem__(base)
        return _changed(recipe, name, changes) if colon else recipe

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).partition(':')[0])

    def canonical(self, name: str) -> str:
        """Return the name with its effective changes in a fixed order and notation."""
        base = name.partition(':')[0]
        plain, recipe = _settings(super().__getitem__(base)), _settings(self[name])
        changes = [f'{key}={value}' for key, value in recipe.items() if value != plain[key]]
        return f'{base}:{",".join(changes)}' if changes else base


def canonical(recipes: Mapping, name: str) -> str:
    """Return the canonical name of a recipe. Names in other mappings have no changes.

    Raises:
        UserError: If there is no such recipe, or a change is wrong.
    """
    recipes[name]  # raises for an unknown name
    return recipes.canonical(name) if isinstance(recipes, Recipes) else name


def settings_text(recipe: Any) -> str:
    """Return all settings of a recipe in the notation of changes, as results record them."""
    if not is_dataclass(recipe):
        known = isinstance(recipe, (int, float, str, tuple, list, type(None)))
        return _text(recipe) if known else type(recipe).__name__
    return ','.join(f'{key}={value}' for key, value in _settings(recipe).items())


def _settings(recipe: Any) -> dict[str, str]:
    return {field.name: _text(getattr(recipe, field.name)) for field in fields(recipe)} if is_dataclass(recipe) else {}


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return '/'.join(map(_text, value)) or '()'
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix('.0') if isinstance(value, float) else str(value)


def _changed(recipe: T, name: str, changes: str) -> T:
    """Return a recipe with the changes applied.

    Raises:
        UnknownName: If a field does not exist or occurs twice, or a value has the wrong type or is impossible.
    """
    if not is_dataclass(recipe):
        raise UnknownName(f'{name}: this recipe has no settings to change')
    hints, values = get_type_hints(type(recipe)), {}
    known = ', '.join(f'{field.name} ({_kind(hints[field.name])})' for field in fields(recipe))
    for change in changes.split(','):
        key, equals, text = (part.strip() for part in change.partition('='))
        if not equals or key not in {field.name for field in fields(recipe)}:
            raise UnknownName(f'{name}: {change!r} is not FIELD=VALUE; the fields are {known}')
        if key in values:
            raise UnknownName(f'{name}: {key} is given twice')
        try:
            values[key] = _parse(text, hints[key])
        except ValueError:
            raise UnknownName(f'{name}: {key} is {text!r}, not {_kind(hints[key])}; the fields are {known}') from None
    try:
        return replace(recipe, **values)  # type: ignore[type-var]
    except UserError as error:
        raise UnknownName(f'{name}: {error}') from None


def _kinds(hint: Any) -> list:
    """Return the alternatives of a type hint."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _kind(hint: Any) -> str:
    names = {float: 'number', int: 'integer', bool: 'true or false', str: 'word', type(None): 'none'}
    return ' or '.join('integers with / between' if get_origin(kind) is tuple else names.get(kind, str(kind))
                       for kind in _kinds(hint))


def _parse(text: str, hint: Any) -> Any:
    kinds = _kinds(hint)
    if type(None) in kinds and text.lower() == 'none':
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    if get_origin(kind) is tuple:
        return () if text == '()' else tuple(int(part) for part in text.split('/'))
    if kind is bool:
        if text.lower() not in ('true', 'false'):
            raise ValueError(text)
        return text.lower() == 'true'
    value = kind(text)
    if isinstance(value, float) and not math.isfinite(value) or value == '':
        raise ValueError(text)
    return value
