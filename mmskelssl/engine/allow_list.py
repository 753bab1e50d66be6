"""Allowed types and arguments of descriptions that come from files.

mmengine's registries search their parents, import modules by dotted name, and build any nested config. Descriptions
from files get none of that. A ``type`` must be a class of this package, or of a plug-in that the caller imported by
name, and must be in our own registry for its place. Every argument must fit the constructor's signature. Nothing is
built before the whole description has been checked.
"""
import difflib
import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass

from mmskelssl import registry
from mmskelssl.augment import BatchAugment
from mmskelssl.datasets.pool import PooledDataset
from mmskelssl.engine.plugins import is_trusted
from mmskelssl.errors import UserError, printable
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.modules.norm import check_norm
from mmskelssl.models.preprocessor import SkeletonPreprocessor

_MAX_DEPTH, _MAX_NUMBER = 24, 1 << 31
MAX_NAME, MAX_TYPES, MAX_KEYS = 200, 1000, 20_000  # characters of a name; classes and keys of a description


@dataclass(frozen=True)
class Place:
    """A position in a description where a ``type`` is allowed.

    Args:
        what: Name of the place in messages.
        registry: Name of our registry with the classes of this place.
        fits: Returns whether a class is allowed here.
        parts: Maps an argument to the place of the config, or list of configs, that it contains.
    """
    what: str
    registry: str
    fits: typing.Callable[[type], bool]
    parts: Mapping[str, 'Place']


def _is_backbone(kind: type) -> bool:
    return hasattr(kind, 'forward') and not issubclass(kind, (SkeletonEncoder, SkeletonPreprocessor))


AUGMENT = Place('augmentation', 'BATCH_AUGMENTS', lambda kind: issubclass(kind, BatchAugment), {})
TRANSFORM = Place('transform', 'TRANSFORMS', lambda kind: True, {})
PREPROCESSOR = Place('preprocessor', 'MODELS', lambda kind: issubclass(kind, SkeletonPreprocessor), {'views': AUGMENT})
BACKBONE = Place('backbone', 'MODELS', _is_backbone, {})
MODEL = Place('model', 'MODELS', lambda kind: issubclass(kind, SkeletonEncoder),
              {'backbone': BACKBONE, 'data_preprocessor': PREPROCESSOR})
DATASET = Place('data set', 'DATASETS', lambda kind: hasattr(kind, '__getitem__') and kind is not PooledDataset,
                {'pipeline': TRANSFORM})  # descriptions of several stores are narrowed to one of them first


def allowed(place: Place) -> dict[str, type]:
    """Return the allowed classes of a place by name: those in our own registry that come from trusted modules."""
    node = getattr(registry, place.registry)
    node.import_from_location()
    return {name: kind for name, kind in node.module_dict.items()
            if inspect.isclass(kind) and not inspect.isabstract(kind) and is_trusted(kind.__module__)
            and place.fits(kind)}


def resolve(config: dict, place: Place, where) -> dict:
    """Return a copy of a description in which every ``type`` is the class itself, so that no registry is searched.

    Args:
        config: Plain data, as read from JSON.
        place: Kind of object that the config describes.
        where: File that the config comes from, for messages.

    Raises:
        UserError: If anything is not allowed. The message names the first problem and its place in the description.
    """
    _check_size(config, where)
    return _resolve(config, place, where, place.what, 0)


def resolve_all(configs, place: Place, where, key: str) -> list[dict]:
    """Apply :func:`resolve` to each item of a list, such as a pipeline."""
    if not isinstance(configs, (list, tuple)):
        raise UserError(f'{where}: {key} is a {type(configs).__name__}, not a list')
    _check_size(configs, where)
    return [_resolve(config, place, where, f'{key}[{i}]', 0) for i, config in enumerate(configs)]


def _check_size(config, where) -> None:
    """Refuse descriptions with too many parts or too long names: each takes time, and names appear in messages."""
    types, keys, level = 0, 0, [config]
    for _ in range(_MAX_DEPTH + 8):  # deeper ones are refused later
        for node in level:
            if isinstance(node, dict):
                types, keys = types + ('type' in node), keys + len(node)
                if any(len(str(key)) > MAX_NAME for key in node) or len(str(node.get('type', ''))) > MAX_NAME:
                    raise UserError(f'{where}: its description has a name of more than {MAX_NAME} characters')
        if types > MAX_TYPES or keys > MAX_KEYS:
            raise UserError(f'{where}: its description has more than {MAX_TYPES:,} parts or {MAX_KEYS:,} keys')
        level = [item for node in level if isinstance(node, (dict, list, tuple))
                 for item in (node.values() if isinstance(node, dict) else node)
                 if isinstance(item, (dict, list, tuple))]


def _resolve(config, place: Place, where, key: str, depth: int) -> dict:
    if not isinstance(config, dict) or type(config.get('type')) is not str:
        raise UserError(f'{where}: {key} is not the description of a {place.what}: it needs a type')
    kind = _class_of(config['type'].removeprefix('mmskelssl.'), place, where, key)
    ours = kind.__module__.startswith('mmskelssl.')
    accepted, open_ended = arguments_of(kind)
    made: dict[str, object] = {'type': kind}
    for name, value in config.items():
        at = f'{key}.{name}'
        if name == 'type':
            continue
        if name in ('_scope_', 'init_cfg') and value is not None:
            raise UserError(f'{where}: {printable(at)} is refused: a description from a file may not set {name}')
        if name not in accepted and not open_ended:
            close = difflib.get_close_matches(str(name), accepted, 1, 0.6)
            raise UserError(f'{where}: {printable(at)}: {kind.__name__} takes no argument {name!r}'
                            + (f' (nearest: {close[0]})' if close else ''))
        if name in place.parts and value is not None:
            made[name] = _part(value, place.parts[name], where, at, depth)
        elif name == 'norm_cfg' and ours and value is not None:
            made[name] = check_norm(value, f'{where}: {at}')
        elif name == 'layout' and value is not None:
            made[name] = get_layout(_plain(value, where, at, depth)) if isinstance(value, dict) else value
        else:  # a class of a plug-in may build further objects of its kind
            made[name] = _plain(value, where, at, depth, None if ours else place)
        if not matches(made[name], accepted.get(name, inspect.Parameter.empty)):
            raise UserError(f'{where}: {printable(at)} is {printable(str(value)[:60])}, which {kind.__name__} does not '
                            'take there')
    return made


def _part(value, place: Place, where, key: str, depth: int):
    """Resolve a config, a list of configs, or the views: a dict of lists that may start with another view's name."""
    if isinstance(value, list):
        return [item if i == 0 and place is AUGMENT and type(item) is str
                else _resolve(item, place, where, f'{key}[{i}]', depth + 1) for i, item in enumerate(value)]
    if place is AUGMENT and isinstance(value, dict):
        if not all(isinstance(ops, list) or ops is None for ops in value.values()):
            raise UserError(f'{where}: {printable(key)} is not a dict of lists of augmentations')
        return {name: _part(ops or [], place, where, f'{key}.{name}', depth) for name, ops in value.items()}
    return _resolve(value, place, where, key, depth + 1)


def _plain(value, where, key: str, depth: int, place: Place | None = None):
    """Check numbers, strings and containers of them. A dict with a ``type`` is allowed only for plug-in classes."""
    if depth > _MAX_DEPTH:
        raise UserError(f'{where}: {printable(key[:80])} is nested more than {_MAX_DEPTH} deep')
    if isinstance(value, dict):
        if 'type' in value and place is not None:
            return _resolve(value, place, where, key, depth + 1)
        if {'type', '_scope_', 'init_cfg'} & set(value):
            raise UserError(f'{where}: {printable(key)} describes something to build ({printable(str(value)[:60])}), '
                            'which is not expected there; refused')
        return {name: _plain(item, where, f'{key}.{name}', depth + 1, place) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, where, f'{key}[{i}]', depth + 1, place) for i, item in enumerate(value))
    if isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) < _MAX_NUMBER):
        raise UserError(f'{where}: {printable(key)} is a number of more than {_MAX_NUMBER:,}')
    return value


def _class_of(name: str, place: Place, where, key: str) -> type:
    known = allowed(place)
    if name in known:
        return known[name]
    registered = getattr(registry, place.registry).module_dict.get(name)
    shown = f'{where}: {printable(key)}: type {printable(name)[:100]!r}'
    if inspect.isclass(registered) and place.fits(registered):
        raise UserError(f'{shown} is a class of the module {registered.__module__}, which is neither ours nor imported '
                        'by you: if you trust it, name that module with --imports (imports= in Python)')
    close = difflib.get_close_matches(name, known, 3, 0.6)
    nearest = f' (nearest: {", ".join(close)})' if close else ''
    raise UserError(f'{shown} is not registered as a {place.what}{nearest}; if a plug-in has it, name the '
                    'module or its path with --imports (imports= in Python)')


def arguments_of(kind: type) -> tuple[dict[str, object], bool]:
    """Return the arguments of a constructor, including those that it passes to its bases through ``**kwargs``.

    Returns:
        A dict from argument to annotation, and whether the constructor accepts further arguments.
    """
    accepted: dict[str, object] = {}
    for base in inspect.getmro(kind):
        if '__init__' not in vars(base):
            continue
        init = vars(base)['__init__']
        if base is object or not isinstance(init, types.FunctionType):
            return accepted, False
        parameters = [*inspect.signature(init).parameters.values()][1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                accepted.setdefault(parameter.name, parameter.annotation)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return accepted, False
    return accepted, True


def matches(value, annotation) -> bool:
    """Return whether plain data fit an annotation. Unknown annotations always fit, and the constructor decides."""
    if isinstance(annotation, str) or annotation in (inspect.Parameter.empty, typing.Any):
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, choice) for choice in arguments)
    if annotation in (None, type(None)):
        return value is None
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation is int:
        return type(value) is int
    if annotation in (bool, str):
        return type(value) is annotation
    kind = origin or annotation
    if kind is dict or kind is Mapping:
        return isinstance(value, dict) and (len(arguments) < 2 or all(matches(v, arguments[1]) for v in value.values()))
    if kind is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        if arguments and arguments[-1] is not Ellipsis:
            return len(value) == len(arguments) and all(map(matches, value, arguments))
        return all(matches(item, arguments[0]) for item in value) if arguments else True
    if kind is list:
        return isinstance(value, (list, tuple)) and all(matches(item, arguments[0]) for item in value) \
            if arguments else isinstance(value, (list, tuple))
    if kind is SkeletonLayout:
        return isinstance(value, SkeletonLayout)
    return True
