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


def _number(value) -> str:
    return '-' if value is None else f'{value:.1f}'


def print_table(rows: Sequence[Mapping], title: str | None = None, console: Console | None = None) -> None:
    """Print one line a result; percent, with the 95 % interval of top 1."""
    console = console or Console()
    table = Table(title=title, title_justify='left')
    for name in ('encoder', 'data', 'split', 'stream', 'protocol'):
        table.add_column(name, overflow='fold')
    for name in ('top-1', '95 %', 'top-5', 'per class'):
        table.add_column(name, justify='right', no_wrap=True)
    for i, row in enumerate(rows):
        low, high = row.get('ci95') or (None, None)
        table.add_row(str(row['encoder']), str(row['data']), str(row['split']), str(row['stream']),
                      f'{row["protocol"]} {row["recipe"]}', _number(row['top1']), f'{_number(low)}..{_number(high)}',
                      _number(row.get('top5')), _number(row.get('mean_class')),
                      end_section=i + 1 < len(rows) and rows[i + 1]['encoder'] != row['encoder'])
    console.print(table)
