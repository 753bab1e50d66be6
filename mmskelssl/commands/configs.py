"""List, print and compare configs.

Examples:
  mmskelssl configs
  mmskelssl configs actclr_toy
  mmskelssl configs actclr_toy --resolved
  mmskelssl configs --diff actclr_toy actclr_ntu60
"""
import argparse
from collections.abc import Mapping
from typing import Any

from mmskelssl.errors import UserError
from mmskelssl.shipped import config_names, find_config, shipped_bases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', nargs='?', help='config to print: a file, or the name of a shipped one; default: list '
                                                'all shipped ones')
    parser.add_argument('--resolved', action='store_true', help='merge its _base_ files before printing')
    parser.add_argument('--diff', nargs=2, metavar=('A', 'B'), help='print the keys in which two configs differ')


def run(args: argparse.Namespace) -> None:
    if args.diff:
        if args.name or args.resolved:
            raise UserError('--diff A B compares two configs: leave out NAME and --resolved')
        print_differences(*args.diff)
    elif args.name and args.resolved:
        print(_read(find_config(args.name)).pretty_text, end='')
    elif args.name:
        with open(find_config(args.name), encoding='utf-8') as file:
            print(file.read(), end='')
    elif args.resolved:
        raise UserError('--resolved: say which config')
    else:
        print_list()


def print_list() -> None:
    """Print a line for each shipped config: name, method, store, and the config's first line."""
    lines = []
    for name in config_names():
        path = find_config(name)
        config = _read(path)
        with open(path, encoding='utf-8') as file:
            first = file.readline().strip().removeprefix('# ')
        lines.append((name, config.get('model', {}).get('type', ''), _stores(config.get('data', {})), first))
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:3]]
    for *cells, first in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + f'  {first}')


def _stores(data: Mapping) -> str:
    return '+'.join(part['store'] for part in data.get('stores') or [data] if part.get('store'))


def print_differences(first: str, second: str) -> None:
    """Print each key whose values differ between two resolved configs, with ``-`` for a missing key."""
    values = [flatten(_read(find_config(name)).to_dict()) for name in (first, second)]
    for key in dict.fromkeys([*values[0], *values[1]]):
        a, b = (repr(each[key]) if key in each else '-' for each in values)
        if a != b:
            print(f'{key}: {a} | {b}')


def flatten(value: Any, prefix: str = '') -> dict:
    """Flatten nested dicts and lists of dicts to dotted keys, as ``--cfg-options`` takes them."""
    if isinstance(value, Mapping) and value:
        items = list(value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        items = list(enumerate(value))
    else:
        return {prefix: value}
    return {path: leaf for key, item in items
            for path, leaf in flatten(item, f'{prefix}.{key}' if prefix else str(key)).items()}


def _read(path: str):
    """Read a config and merge its ``_base_`` files without importing the modules that it names."""
    from mmengine.config import Config
    try:
        with shipped_bases():
            return Config.fromfile(path, lazy_import=False, import_custom_modules=False)
    except (SyntaxError, NameError, KeyError, TypeError, OSError) as error:
        raise UserError(f'{path}: {type(error).__name__}: {error}') from error
