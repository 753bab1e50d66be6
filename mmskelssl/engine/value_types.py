"""Checks the type of values for classes of torch and mmengine, many of which take a text for a number or for True."""
import inspect
import re
from collections.abc import Iterator, Mapping
from numbers import Real

from mmskelssl.engine.signatures import Arguments

_NO_TYPE = {'class', 'typing', 'Optional', 'Union', 'None', 'NoneType'}
# Keys that mmengine looks up in plain dicts, or removes before it calls the class.
_SWITCHES = {'by_epoch', 'cudnn_benchmark', 'enable', 'bypass_duplicate', 'convert_to_iter_based'}


def wrong_types(node: Mapping, found: Arguments) -> Iterator[tuple[str, str]]:
    """Yield (name, problem) for each value of ``node`` that is no number, or no bool, where only that is taken.

    The classes of this package and of plug-ins check their own values.

    Args:
        node: A dict of arguments.
        found: The arguments that are allowed there.
    """
    for name, value in node.items():
        kind, may_be_none = _kind(found.owners[name], name) if name in found.owners else (None, True)
        if value is None and may_be_none:
            continue
        if kind is bool and not isinstance(value, bool):
            yield name, f'{value!r} is not True or False'
        if kind is Real and (isinstance(value, bool) or not isinstance(value, Real)):
            yield name, f'{value!r} is not a number'


def _kind(owner, name: str) -> tuple[type | None, bool]:
    """Return bool, Real or None for other types, and whether the value may be None."""
    if owner is None:
        return bool if name in _SWITCHES else None, False
    if owner.__module__.partition('.')[0] not in ('torch', 'mmengine'):
        return None, True
    parameter = inspect.signature(vars(owner)['__init__'] if inspect.isclass(owner) else owner).parameters[name]
    bare = parameter.annotation is parameter.empty
    words = set(re.findall(r'\w+', str(type(parameter.default) if bare else parameter.annotation)))
    may_be_none = bare or parameter.default is None or not words.isdisjoint({'None', 'NoneType', 'Optional'})
    words -= _NO_TYPE
    if words == {'bool'}:
        return bool, may_be_none
    return Real if words & {'int', 'float'} and words <= {'int', 'float', 'torch', 'Tensor'} else None, may_be_none
