"""What earlier commands have measured: the rows of each results.json next to an encoder.

The files are shown, not trusted: their numbers are checked, their texts cut, and rows of another checkpoint, run or
data set say so.
"""
import datetime
import glob
import math
import os.path as osp
from collections.abc import Mapping, Sequence

from mmskelssl.errors import UserError, printable
from mmskelssl.evaluation.results import number_text, read_results, row_title
from mmskelssl.provenance import MAX_COMMAND
from mmskelssl.report.sources import Source

FILES, ROWS, COMMANDS = 20, 100, 20
MAX_FILE = 1 << 26  # bytes
_TEXT = 120
UNKNOWN = 'not recorded'
_TEXTS = ('encoder', 'protocol', 'recipe', 'split', 'stream', 'method', 'backbone', 'data', 'data_hash', 'config_hash')
_NUMBERS = ('top1', 'map', 'std', 'label_fraction', 'num_test', 'epoch')
_INTERVALS = ('ci95', 'map_ci95')
_SAME = ('data', 'data_hash', 'stream', 'split', 'backbone', 'method', 'protocol', 'recipe', 'label_fraction')


def earlier_results(sources: Sequence[Source]) -> tuple[dict | None, list[str]]:
    """Return the table of earlier results and the commands behind it, or None; and what could not be read."""
    rows: list[list[str]] = []
    notes: list[str] = []
    made: dict[tuple[str, str], int] = {}  # commands, in the order of their numbers
    for source in sources:
        for path in _files(source):
            found, problem = _read(path)
            notes += [problem] if problem else []
            rows += _cells(found, source, path, made, f'{source.name}: ' if len(sources) > 1 else '')
    if not rows:
        return None, notes
    if len(rows) > ROWS:
        notes.append(f'{len(rows)} earlier results were found, of which {ROWS} are shown')
    commands = list(made)[:COMMANDS]
    if len(made) > len(commands):
        notes.append(f'earlier results come from {len(made)} commands, of which {COMMANDS} are shown')
    head = ['encoder', 'split', 'measured by', 'is about', 'clips', 'result (95 % interval), %', 'untrained, %',
            'command']
    return dict(head=head, rows=rows[:ROWS], commands=commands), notes


def _files(source: Source) -> list[str]:
    """Return the files that ``evaluate`` and ``benchmark`` write by default for a run or a model."""
    folders = [source.path, osp.splitext(source.path)[0] + '_eval']
    if source.extractor is not None and (folder := osp.dirname(source.extractor.checkpoint)):
        folders += [folder, *sorted(glob.glob(osp.join(glob.escape(folder), '*_eval')))]
    paths = (osp.join(folder, 'results.json') for folder in folders)
    return list({osp.realpath(path): path for path in paths if osp.isfile(path)}.values())[:FILES]  # a pipe would block


def _read(path: str) -> tuple[list[dict], str]:
    """Return the sound rows of a file, and what is wrong with it."""
    try:
        if osp.getsize(path) > MAX_FILE:
            raise UserError(f'{path}: larger than {MAX_FILE >> 20} MB, so it is not read')
        rows = read_results(path)
    except UserError as error:
        return [], f'earlier results: {error}'
    sound = [row for row in map(_sound, rows) if row]
    lost = len(rows) - len(sound)
    return sound, f'{path}: {lost} of {len(rows)} earlier results cannot be read and are not shown' if lost else ''


def _sound(row: dict) -> dict | None:
    """Return what the table needs of a row, or None if the row has no accuracy or a value of another kind."""
    made: dict = {}
    for key in _TEXTS:
        if (value := row.get(key)) is not None:
            if not isinstance(value, str):
                return None
            made[key] = _short(value, _TEXT)
    for key in _NUMBERS:
        if (value := row.get(key)) is not None:
            if not _number(value):
                return None
            made[key] = value
    for key in _INTERVALS:
        if (value := row.get(key)) is not None:
            if not (isinstance(value, list) and len(value) == 2 and all(map(_number, value))):
                return None
            made[key] = value
    result = 'map' if made.get('protocol') == 'retrieval' else 'top1'
    if not {'encoder', 'protocol', 'recipe', 'split', result} <= set(made):
        return None
    about = row['provenance'] if isinstance(row['provenance'], Mapping) else {}
    when, command = (about.get(key) for key in ('date', 'command'))
    return {'ci95': None, **made, 'seeds': 'std' in made and bool(row.get('seeds')),
            'several': any(row.get(key) for key in ('seeds', 'folds', 'members')),
            'when': _short(when, 40) if isinstance(when, str) else '',
            'command': _short(command, MAX_COMMAND) if isinstance(command, str) else UNKNOWN}


def _number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e9


def _short(text: str, most: int) -> str:
    text = printable(text[:most + 1])
    return text if len(text) <= most else f'{text[:most - 1]}…'


def _cells(rows: list[dict], source: Source, path: str, made: dict[tuple[str, str], int],
           prefix: str) -> list[list[str]]:
    """Return the lines of the table. Untrained encoders stand beside the trained ones, or have their own line.

    Args:
        made: Numbers of the commands so far, to which those of the rows are added.
        prefix: Precedes the name of an encoder.
    """
    key = [tuple(row.get(name) for name in _SAME) for row in rows]
    untrained = {k: row for k, row in zip(key, rows, strict=True) if row['encoder'] == 'untrained'}
    beside = {k for k, row in zip(key, rows, strict=True) if row['encoder'] != 'untrained'}
    lines = []
    for k, row in zip(key, rows, strict=True):
        if row['encoder'] == 'untrained' and k in beside:
            continue
        when = row['when'] or f'no later than {_changed(path)}'
        number = made.setdefault((when, row['command']), len(made) + 1)
        stream = row.get('stream', 'joint')
        name = row['encoder'] + (f', {stream} stream' if stream != source.info.get('stream', 'joint') else '')
        lines.append([prefix + name, row['split'], row_title(row), _about(row, source), f'{row.get("num_test", "?")}',
                      number_text(row), number_text(untrained.get(k)) if row['encoder'] != 'untrained' else '',
                      str(number)])
    return lines


def _about(row: dict, source: Source) -> str:
    """Say whether a row is about the checkpoint and the clips of the page, and what differs."""
    info, store = source.info, source.store
    differences = []
    if row['encoder'] == 'untrained':
        differences += ['an untrained encoder']
    elif row.get('config_hash') != info.get('config_hash') or not info.get('config_hash'):
        differences += ['another run' if row.get('config_hash') else 'several runs' if row['several'] else
                        'a run that is not recorded']
    elif row.get('epoch') != info.get('epoch'):
        differences += [f'epoch {row.get("epoch", "not recorded")}']
    if store is None or row.get('data_hash') != store.data_hash:
        differences += [f'other data ({row.get("data") or UNKNOWN})' if row.get('data_hash') else
                        'data that are not recorded']
    return ', '.join(differences) or 'this checkpoint'


def _changed(path: str) -> str:
    when = datetime.datetime.fromtimestamp(osp.getmtime(path), datetime.timezone.utc)
    return when.strftime('%Y-%m-%d %H:%M UTC')
