"""``--cfg-options``: decides which stages of a recipe take a key, and which keys can be set."""
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.config import Config

from mmskelssl.engine.config_keys import KNOWN, OF_THE_LAST_STAGE
from mmskelssl.engine.signatures import arguments_at
from mmskelssl.errors import UserError


@dataclass(frozen=True)
class Place:
    """A dotted key in one config.

    Args:
        present: Whether the config already has this key.
        owner: The class that defines the meaning of the key, if any.
        problem: Reason why the key cannot be set, or None.
    """
    present: bool = False
    owner: object = None
    problem: str | None = None


def apply_options(stages: list[tuple[str, Config]], options: Mapping) -> None:
    """Set dotted keys in the stages of a recipe.

    ``stages.NAME.key`` sets a key in one stage. Any other key is set in every stage that has it, and in stages whose
    class takes it with the same meaning, which is the case if the argument is inherited from the same class.

    Raises:
        UserError: If no stage takes a key, or stages take it with different meanings.
    """
    for key, value in check_options(options).items():
        for cfg in _takers(stages, key):
            try:
                cfg.merge_from_dict({key.split('.', 2)[2] if key.startswith('stages.') else key: value})
            except AttributeError as error:  # mmengine sets keys in the items of a list, but not the items themselves
                raise UserError(f'--cfg-options {key}={value}: give the whole list, '
                                f'{key.rpartition(".")[0]}=[...]') from error
            except (IndexError, KeyError, TypeError) as error:
                raise UserError(f'--cfg-options {key}={value}: {" ".join(str(error).split())}') from error


# Keys that have had their effect when options are set.
_READ_BEFORE = dict(stages='stages are loaded', custom_imports='modules are imported')


def check_options(options) -> dict:
    """Return options from dotted keys to values as a dict.

    Raises:
        UserError: If they are something else, or change what is read before options are set.
    """
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise UserError(f"cfg_options is {options!r}; it must be a dict from dotted keys to values, such as "
                        "{'train_cfg.max_epochs': 10}")
    for key in options:
        name = key.split('.', 2)[2] if key.startswith('stages.') and key.count('.') > 1 else key
        if name in _READ_BEFORE or name.startswith('custom_imports.'):
            raise UserError(f'--cfg-options {key}: {_READ_BEFORE[name.split(".")[0]]} before options are set: write it '
                            'in a config of your own, which names this one as its _base_')
    return dict(options)


def _takers(stages: list[tuple[str, Config]], key: str) -> list[Config]:
    if key.startswith('stages.'):
        _, name, key = [*key.split('.', 2), ''][:3]
        if not key:
            raise UserError(f'--cfg-options stages.{name}: say which key of the stage, as in '
                            f'stages.{name}.train_cfg.max_epochs=10')
        if name not in [stage for stage, _ in stages]:
            raise UserError(f'--cfg-options: no stage {name!r}; there are {", ".join(n for n, _ in stages)}')
        stages = [stage for stage in stages if stage[0] == name]
    elif key in OF_THE_LAST_STAGE:
        stages = stages[-1:]
    places = [(name, cfg, locate(cfg._cfg_dict, key)) for name, cfg in stages]
    able = [found for found in places if found[2].problem is None]
    if not able:
        raise UserError(f'--cfg-options: no key {key!r} in the config: {places[-1][2].problem}')
    meanings = {place.owner for _, _, place in able if place.present} or {place.owner for _, _, place in able}
    if len(meanings) > 1 and not any(place.present for _, _, place in able):
        raise UserError(f'--cfg-options {key}: the stages {", ".join(name for name, _, _ in able)} give it '
                        f'different meanings; write stages.{able[-1][0]}.{key}')
    return [cfg for _, cfg, place in able if place.present or place.owner in meanings]


def locate(node, key: str) -> Place:
    """Find a dotted key below ``node``, the dict of a config."""
    *parents, leaf = key.split('.')
    for i, part in enumerate(parents):
        inside = _child(node, part)
        if inside is None:
            return _missing(node, '.'.join(parents[:i]), part)
        node = inside[0]
    return Place(True, _owner(node, '.'.join(parents), leaf)) if _child(node, leaf) else \
        _missing(node, '.'.join(parents), leaf)


def _child(node, part: str) -> tuple | None:
    if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
        return (node[int(part)],)
    return (node[part],) if isinstance(node, Mapping) and part in node else None


def _owner(node, path: str, name: str):
    found = arguments_at(path, node) if isinstance(node, Mapping) else None
    return found.owners.get(name) if found else None


def _missing(node, path: str, name: str) -> Place:
    """Locate a key that the config does not have. Its class may still take it."""
    names = [key for key in node if isinstance(key, str)] if isinstance(node, Mapping) else []
    if not path:
        if name in KNOWN:
            return Place()
        found = None
    else:
        found = arguments_at(path, node) if isinstance(node, Mapping) else None
    if found and name in found:
        return Place(owner=found.owners.get(name))
    names += [key for key in (found.owners if found else KNOWN if not path else ()) if key not in {*names, '_scope_'}]
    return Place(problem=nearest(f'{path}.{name}' if path else name, name, names))


def nearest(where: str, name: str, names: list[str]) -> str:
    """Return the message for a name that does not exist."""
    close = difflib.get_close_matches(name, names, 1)
    hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(map(str, names)) or "no keys"}'
    return f'{where!r} does not exist; {hint}'
