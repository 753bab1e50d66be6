"""Write ``results.json`` and print the table of results."""
import fcntl
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError, printable
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.provenance import command_line, machine, now, versions

# What was measured, as opposed to what came out: a row with the same values is the same measurement.
_IDENTITY = ('encoder', 'method', 'backbone', 'checkpoint', 'epoch', 'config_hash', 'pretrain_seed', 'pretrain_data',
             'data', 'data_hash', 'stream', 'split', 'train_split', 'test_split', 'protocol', 'recipe', 'settings',
             'label_fraction', 'seed', 'seeds', 'members', 'fusion', 'num_clips')


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


def _shown(text: str) -> str:
    """Names come from files: neither Rich's markup nor a terminal's codes in them are obeyed."""
    return escape(printable(text))


def write_results(path: str, rows: Sequence[Mapping], config_hash: str | None = None, data_hash: str | None = None,
                  command: str | None = None) -> None:
    """Write rows with their provenance atomically.

    Args:
        path: File to write, or a folder for ``results.json``.
        rows: Rows from :func:`~mmskelssl.evaluation.protocols.evaluate_encoder`.
        config_hash: Hash of the run that trained the encoder.
        data_hash: Hash of the store.
        command: Command line. By default, that of this process.
    """
    if not path.endswith('.json'):
        path = os.path.join(path, 'results.json')
    content = dict(results=rows, config_hash=config_hash, data_hash=data_hash, versions=versions(), machine=machine(),
                   command=command or command_line(), date=now())
    write_atomically(path, (json.dumps(_plain(content), indent=1, allow_nan=False) + '\n').encode())


def read_results(path: str) -> list[dict]:
    """Rows of a results.json, none where there is no such file.

    A row of an earlier command gets ``provenance``: the command, date, versions and machine in the head of its file.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        rows = list(content['results'])
        if not all(isinstance(row, dict) for row in rows):
            raise TypeError('a row is not an object')
    except FileNotFoundError:
        return []
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f'{path} is not a readable results.json ({type(error).__name__}): move it away, or choose '
                        'another --out') from error
    about = {key: content[key] for key in ('command', 'date', 'versions', 'machine') if key in content}
    return [{'provenance': about, **row} for row in rows]


def identity(row: Mapping) -> str:
    """What a row measures, as text: equal for a repeated measurement, different for any other one."""
    folds = sorted(row['folds']) if isinstance(row.get('folds'), Mapping) else None  # without their accuracies
    return json.dumps(_plain([*(row.get(key) for key in _IDENTITY), folds]), sort_keys=True, default=str)


def add_results(folder: str, rows: Sequence[Mapping], config_hash: str | None = None,
                data_hash: str | None = None, name: str = 'results.json') -> tuple[int, int]:
    """Add rows to the ``results.json`` of a folder; a row that repeats a measurement takes the place of the old one.

    Args:
        name: Name of another file in the folder.

    Returns:
        How many of the earlier rows were kept, and how many were replaced.
    """
    path, new = os.path.join(folder, name), {identity(row) for row in rows}
    with _locked(folder):  # another process may be adding its own
        earlier = read_results(path)
        kept = [row for row in earlier if identity(row) not in new]
        write_results(path, [*kept, *rows], config_hash, data_hash)
    return len(kept), len(earlier) - len(kept)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    os.makedirs(folder, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def encoder_name(row: Mapping, backbones: bool) -> str:
    """Return ``encoder`` of a row. With several backbones, the name of an untrained encoder includes its backbone."""
    return f'untrained {row["backbone"]}' if backbones and row['encoder'] == 'untrained' else row['encoder']


def column_of(row: Mapping) -> tuple:
    """Return the key of a row's column in a table, without the split."""
    return row['protocol'], row['recipe'], row.get('label_fraction') or 1.0


def row_title(row: Mapping) -> str:
    """Describe the protocol of a row, such as ``linear logreg`` or ``semi 5 % small``."""
    share = row.get('label_fraction') or 1.0
    return ' '.join([row['protocol'], *([f'{100 * share:g} %'] if share != 1 else []), row['recipe']])


def main_number(row: Mapping) -> tuple[float, list[float] | None]:
    """Return the number to show in a table and its 95 % interval, in percent: mAP for retrieval, top 1 otherwise."""
    return (row['map'], row.get('map_ci95')) if row['protocol'] == 'retrieval' else (row['top1'], row['ci95'])


def shown(rows: Sequence[Mapping]) -> list[Mapping]:
    """Return the rows to show in a table. The mean over seeds replaces the rows of single seeds."""
    def of(row):
        return (row['encoder'], row.get('method'), row.get('backbone'), row.get('data'), row.get('pretrain_data'),
                row.get('stream'), row['split'], *column_of(row))
    means = {of(row) for row in rows if row.get('seeds')}
    return [row for row in rows if row.get('seeds') or of(row) not in means]


def print_table(rows: Sequence[Mapping], console: Console | None = None) -> None:
    """Print a table with one line per encoder and split and one column per recipe, followed by the recipes.

    The honest split ``test_clean`` comes first. Cells show top 1 in percent and its 95 % interval. Retrieval shows the
    mAP. Several seeds show the mean and the standard deviation. The split is followed by n, its number of test clips.
    """
    rows = shown(rows)
    encoders = [row['encoder'] for row in rows]
    rows = sorted(rows, key=lambda row: (encoders.index(row['encoder']), row['split'] != 'test_clean'))
    columns = {column_of(row): row for row in rows}
    several = len({(row['data'], row['stream']) for row in rows}) > 1
    backbones = len({row.get('backbone') for row in rows}) > 1
    lines: dict[tuple, dict] = {}
    names = [encoder_name(row, backbones) + (f', epoch {row["epoch"]}' if row.get('epoch') else '') for row in rows]
    places = [((f'{data_name(row)} {row["stream"]} ' if several else '') + row['split']
               + (f', n={row["num_test"]}' if row.get('num_test') else '')) for row in rows]
    for row, encoder, where in zip(rows, _told_apart(rows, names, places), places, strict=True):
        lines.setdefault((_shown(encoder), _shown(where)), {})[column_of(row)] = row
    table = Table(title=None if several else _shown(f'{data_name(rows[0])}, {rows[0]["stream"]} stream: top-1 %'))
    for name in ('encoder', 'split'):
        table.add_column(name, no_wrap=True)
    for protocol, recipe, share in columns:
        share = f' {100 * share:g} %' if share != 1 else ''
        table.add_column(f'{_shown(protocol)}{share}\n{_shown(recipe)}{" mAP" if protocol == "retrieval" else ""}',
                         justify='right', no_wrap=True)
    keys = list(lines)
    for i, key in enumerate(keys):
        last_of_encoder = i + 1 < len(keys) and keys[i + 1][0] != key[0]
        cells = (number_text(lines[key].get(column)) or '-' for column in columns)
        table.add_row(*key, *cells, end_section=last_of_encoder)
    if console is None:
        # Print the full table regardless of the window's width, so that no number is cut off.
        wide = Console(width=10_000)
        needed = Measurement.get(wide, wide.options, table).maximum
        console = Console(width=max(needed, Console().width if sys.stdout.isatty() else 120))
    console.print(table)
    for line in _legend(rows):
        console.print(printable(line), highlight=False, soft_wrap=True, markup=False)


def _told_apart(rows: Sequence[Mapping], names: Sequence[str], places: Sequence[str]) -> list[str]:
    """Return the names of rows. Where two rows would share a cell, names get the seed, or what else differs."""
    made = list(names)
    for key, title in (('backbone', ''), ('method', ''), ('pretrain_data', 'of '), ('pretrain_seed', 'seed '),
                       ('seed', 'probe of seed '), ('fusion', ''), ('checkpoint', ''), ('train_split', 'probe of ')):
        cells: dict[tuple, set] = {}
        for row, name, place in zip(rows, made, places, strict=True):
            cells.setdefault((name, place, column_of(row)), set()).add(str(row.get(key)))
        unclear = {name for (name, _, _), values in cells.items() if len(values) > 1}
        made = [f'{name}, {title}{row[key]}' if name in unclear and row.get(key) is not None else name
                for row, name in zip(rows, made, strict=True)]
    return made


def data_name(row: Mapping) -> str:
    """Return the data set of a row, together with that of pre-training if the two differ."""
    source = row.get('pretrain_data') or row['data']
    return row['data'] if source == row['data'] else f'{source} to {row["data"]}'


def _legend(rows: Sequence[Mapping]) -> list[str]:
    """Return lines that describe the recipes, the weights of ensembles and what was chosen by cross-validation."""
    used = dict.fromkeys((row['protocol'], row['recipe']) for row in rows)
    lines = [f'{protocol} {recipe}: {PROTOCOLS[protocol].RECIPES[recipe]}' for protocol, recipe in used
             if protocol in PROTOCOLS and is_dataclass(PROTOCOLS[protocol].RECIPES.get(recipe))]
    for row in rows:
        if row.get('weights') and row.get('members'):
            weights = ', '.join(f'{w:.2g} {name}' for w, name in zip(row['weights'], row['members'], strict=True))
            said = f'{len(row["members"])} members with equal weights' if row['fusion'] == 'equal' else \
                f'{weights} ({row["fusion"]})'
            lines.append(f'{row["encoder"]} {row["stream"]}, {row["split"]}, {row_title(row)}: {said}')
        if row.get('C') and row.get('cv'):
            lines.append(f'{row["encoder"]} {row["stream"]}, {row["split"]}, {row_title(row)}: C = {row["C"]:.3g}, '
                         f'chosen on {row["cv"]["parts"]} parts of the training clips, divided by {row["cv"]["by"]}')
    return lines


def number_text(row: Mapping | None) -> str:
    """Return the main number of a row, with its 95 % interval or its deviation over seeds; '' for no row."""
    if row is None:
        return ''
    value, interval = main_number(row)
    if row.get('seeds'):
        return f'{value:.1f} ± {row["std"]:.1f}'
    return f'{value:.1f}' + (f' ({interval[0]:.1f}–{interval[1]:.1f})' if interval else '')
