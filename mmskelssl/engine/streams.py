"""Config values that depend on the stream: ``by_stream = dict(bone=dict(model=dict(local_weight=0.5)))``."""
from collections.abc import Iterator, Mapping

from mmengine.config import Config

from mmskelssl.augment import STREAMS
from mmskelssl.engine.config_files import base_files, read_config
from mmskelssl.engine.options import locate
from mmskelssl.errors import UserError

_CHOICE = 'model.data_preprocessor.stream'


def stream_of(cfg: Config) -> str:
    """Return the stream that a config chooses."""
    return _get(cfg, _CHOICE) or 'joint'


def stream_values(cfg: Config) -> dict[str, object]:
    """Return a dict from dotted key to value for the chosen stream in ``by_stream``.

    Raises:
        UserError: If ``by_stream`` is malformed or names an unknown stream.
    """
    table = cfg.get('by_stream') or {}
    if not isinstance(table, Mapping) or not all(isinstance(part, Mapping) for part in table.values()):
        raise UserError(f'{cfg.filename}: by_stream is {table!r}; it must be dict(STREAM=dict(KEY=VALUE, ...))')
    unknown = set(table) - set(STREAMS)
    if unknown:
        raise UserError(f'{cfg.filename}: by_stream.{min(unknown)}: no such stream; there are {", ".join(STREAMS)}')
    return dict(_leaves(table.get(stream_of(cfg), {})))


def apply_by_stream(cfg: Config, written: Config) -> bool:
    """Set the values of ``by_stream`` for the chosen stream, regardless of how the stream was chosen.

    Args:
        cfg: The config, with the options of the command line.
        written: The config without these options.

    Returns:
        Whether any value was set.

    Raises:
        UserError: If a key cannot be set, or a file that derives from the file with ``by_stream`` sets the key to
            another value.
    """
    values = stream_values(cfg)
    for key, value in values.items():
        if key == _CHOICE or key.split('.')[0] in ('by_stream', 'stages'):
            raise UserError(f'{cfg.filename}: by_stream.{stream_of(cfg)}.{key}: this key cannot depend on the stream')
        place = locate(cfg._cfg_dict, key)
        if place.problem:
            raise UserError(f'{cfg.filename}: by_stream.{stream_of(cfg)}: {place.problem}')
        if _get(written, key) == _get(cfg, key) != value and _rewritten(cfg.filename, written, key):
            raise UserError(f'{cfg.filename}: {key} is {_get(cfg, key)!r}, and by_stream.{stream_of(cfg)} of a base '
                            f'file says {value!r}: write it in by_stream as well, or by_stream = None')
    cfg.merge_from_dict(values)
    return bool(values)


def record_by_stream(cfg: Config) -> None:
    """Update ``by_stream`` with the values of the run, which options of the command line may have changed."""
    cfg.merge_from_dict({f'by_stream.{stream_of(cfg)}.{key}': _get(cfg, key) for key in stream_values(cfg)})


def _rewritten(path: str, cfg: Config, key: str) -> bool:
    """Return whether a file that derives from the file with ``by_stream`` sets the key to another value."""
    for base in base_files(path):
        before = read_config(base)
        if before.get('by_stream') == cfg.get('by_stream') and locate(before._cfg_dict, key).present:
            return _get(before, key) != _get(cfg, key) or _rewritten(base, before, key)
    return False


def _get(cfg: Config, key: str):
    node = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(node, (list, tuple)):
            node = node[int(part)]
        else:
            node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _leaves(node: Mapping, path: str = '') -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        where = f'{path}.{key}' if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, where)
        else:
            yield where, value
