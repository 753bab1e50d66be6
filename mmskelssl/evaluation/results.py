"""``results.json`` and the table."""
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import torch
from rich.console import Console
from rich.table import Table

import mmskelssl
from mmskelssl.engine.atomic import write_atomically


def versions() -> dict[str, str | None]:
    """Versions of what decides a number."""
    found = {'mmskelssl': mmskelssl.__version__, 'python': platform.python_version(), 'torch': torch.__version__}
    for package in ('mmengine', 'mmcv-lite', 'mmcv', 'numpy', 'scikit-learn'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """What it ran on."""
    return dict(system=platform.platform(terse=True), processor=platform.machine(), cores=os.cpu_count(),
                threads=torch.get_num_threads(),
                gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None)


def _plain(value):
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, 'item'):
        value = value.item()
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None  # NaN is not JSON
    return value


def write_results(path: str, rows: Sequence[Mapping], config_hash: str | None = None, data_hash: str | None = None,
                  command: str | None = None) -> None:
    """Write rows with their provenance, whole or not at all.

    Args:
        path: File to write, or a folder for ``results.json``.
        rows: From :func:`~mmskelssl.evaluation.protocols.evaluate_encoder`.
        config_hash: Of the run that made the encoder.
        data_hash: Of the store.
        command: Default this process's command line.
    """
    if not path.endswith('.json'):
        path = os.path.join(path, 'results.json')
    content = dict(results=rows, config_hash=config_hash, data_hash=data_hash, versions=versions(), machine=machine(),
                   command=command or shlex.join(['python', *sys.argv]))
    write_atomically(path, (json.dumps(_plain(content), indent=1, allow_nan=False) + '\n').encode())


def encoder_name(row: Mapping, backbones: bool) -> str:
    """``encoder`` of a row; where there are several backbones, an untrained one's besides."""
    return f'untrained {row["backbone"]}' if backbones and row['encoder'] == 'untrained' else row['encoder']


def print_table(rows: Sequence[Mapping], console: Console | None = None) -> None:
    """Print top 1 in percent and half of its 95 % interval: a line an encoder and split, a column a recipe."""
    console = console or (Console() if sys.stdout.isatty() else Console(width=120))  # no terminal: nothing cut off
    recipes = list(dict.fromkeys((row['protocol'], row['recipe']) for row in rows))
    several = len({(row['data'], row['stream']) for row in rows}) > 1
    backbones = len({row.get('backbone') for row in rows}) > 1
    lines: dict[tuple, dict] = {}
    for row in rows:
        encoder = encoder_name(row, backbones) + (f', epoch {row["epoch"]}' if row.get('epoch') else '')
        where = (f'{row["data"]} {row["stream"]} ' if several else '') + row['split']
        lines.setdefault((encoder, where), {})[row['protocol'], row['recipe']] = row
    table = Table(title=None if several else f'{rows[0]["data"]}, {rows[0]["stream"]} stream: top-1 %')
    for name in ('encoder', 'split'):
        table.add_column(name, no_wrap=True)
    for protocol, recipe in recipes:
        table.add_column(f'{protocol}\n{recipe}', justify='right', no_wrap=True)
    keys = list(lines)
    for i, key in enumerate(keys):
        last_of_encoder = i + 1 < len(keys) and keys[i + 1][0] != key[0]
        table.add_row(*key, *(_cell(lines[key].get(recipe)) for recipe in recipes), end_section=last_of_encoder)
    console.print(table)


def _cell(row: Mapping | None) -> str:
    if row is None:
        return '-'
    low, high = row['ci95']
    return f'{row["top1"]:.1f} ±{(high - low) / 2:.1f}'
