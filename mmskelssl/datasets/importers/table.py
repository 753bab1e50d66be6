"""Tables of coordinates: CSV and other text, wide (``nose_x, nose_y, ...``) and long (``frame, joint, x, y``).

Columns are separated by tabs, else semicolons, else commas, else blanks. A decimal comma is allowed only if commas do
not separate columns. The first line is a header if one of its cells is not a number. An empty cell is a missing joint.
Columns other than coordinates (a frame number, a person, a class) have known names.
"""
import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmskelssl.datasets.importers.pose.contract import MAX_FRAMES, Clip, Lost, Person
from mmskelssl.datasets.importers.pose.values import in_order
from mmskelssl.datasets.importers.text import number, plain_nan
from mmskelssl.layouts import LAYOUTS
from mmskelssl.layouts.skeleton import MAX_JOINTS

FRAME = ('frame', 'frame_id', 'frame_number', 'frame_idx', 'frame_index', 'frameid', 'framenum', 'frame_num')
TIME = ('time', 'timestamp', 'timestamp_ms', 'time_ms', 'seconds', 't', 'index', 'idx', '', 'unnamed: 0')
TRACK = ('person', 'person_id', 'track_id', 'body', 'body_id', 'id', 'instance', 'subject_id')
CLIP = ('video', 'video_id', 'clip', 'clip_id', 'sequence', 'sequence_id', 'file', 'filename', 'file_name', 'name')
LABEL = ('label', 'class', 'action', 'activity')
JOINT = ('joint', 'joint_name', 'joint_id', 'keypoint', 'keypoint_name', 'keypoint_id', 'landmark', 'landmark_id',
         'landmark_name', 'landmark_index', 'bodypart', 'body_part', 'bodyparts', 'point', 'marker', 'part')
MAX_MISSING = 10_000_000  # joints of a table with a row each, of which most are missing
_SCORE = ('score', 's', 'v', 'vis', 'visibility', 'c', 'conf', 'confidence', 'likelihood', 'prob', 'p')
_AXIS = 'x|y|z|' + '|'.join(sorted(_SCORE, key=len, reverse=True))
_AFTER = re.compile(rf'(.+)[_ .:/-]+({_AXIS})|(.+?)[_ ]*[(\[]({_AXIS})[)\]]|(\d+)({_AXIS})', re.IGNORECASE)
_BEFORE = re.compile(rf'({_AXIS})[_ .:/-]*(\d+)|({_AXIS})[_ .:/-]+(.+)', re.IGNORECASE)
_CAMEL = re.compile(r'(.*[a-z0-9])([XYZ])')


class Table(NamedTuple):
    """A table of text.

    Args:
        names: Names of the columns in lower case. Empty without a header.
        rows: Cells of each row.
        lines: Line number of each row.
        comma: Whether the decimal sign may be a comma.
    """
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    comma: bool

    def numbers(self, column: int) -> np.ndarray:
        """Return a column (R,), with NaN for empty cells."""
        try:
            return np.array([number(row[column], self.comma) for row in self.rows])
        except ValueError:
            for row, line in zip(self.rows, self.lines, strict=True):
                try:
                    number(row[column], self.comma)
                except ValueError as error:
                    what = repr(self.names[column]) if self.names else column + 1
                    raise ValueError(f'line {line}, column {what}: {error}') from None
            raise


def read_table(text: str, joints: int = 0) -> Table:
    """Split a text into cells.

    Args:
        text: With or without a header. Lines that begin with ``#`` are comments.
        joints: Joints of the layout, which distinguish ``1,5 2,5`` (decimal commas) from pairs. 0 if unknown.
    """
    kept = [(i, line) for i, line in enumerate(plain_nan(text).splitlines(), 1)
            if line.strip() and not line.startswith('#')]
    if not kept:
        raise ValueError('it has no lines')
    if len(kept) > 50 * MAX_FRAMES:
        raise ValueError(f'{len(kept)} lines')
    lines, texts = [i for i, _ in kept], [line for _, line in kept]
    plain = [line for line in texts[:100] if not re.search('[a-z_]{3}', line.lower().replace('nan', ''))]
    separator, comma = _separator(max(plain or texts[1:] or texts, key=len), joints)
    try:
        rows = [line.split() for line in texts] if separator == ' ' else list(
            csv.reader((re.sub(r'\s+', ',', line.strip()) for line in texts) if separator == ', ' else texts,
                       delimiter=separator[0], skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f'no table: {error}') from None
    if all(row and not row[-1].strip() for row in rows) and len(rows) > 1:
        rows = [row[:-1] for row in rows]  # each line ends with a separator
    rows, lines = _deeplabcut(rows, lines)
    if len(rows) > 1 and _is_count(rows[0]):  # pandas numbers columns without names
        rows, lines = [row[not rows[0][0].strip():] for row in rows[1:]], lines[1:]
    header = not all(_is_number(cell, comma) for cell in rows[0])
    names = tuple(cell.strip().lower() for cell in rows[0]) if header else ()
    original = tuple(cell.strip() for cell in rows[0]) if header else ()
    names = tuple(f'{match[1]}_{match[2]}'.lower() if (match := _CAMEL.fullmatch(cell)) else name
                  for cell, name in zip(original, names, strict=True))
    rows, lines = (rows[1:], lines[1:]) if header else (rows, lines)
    if not rows:
        raise ValueError('a header, but no line of numbers')
    if len(names) == 1 < len(rows[0]):
        names = ()  # a title rather than column names
    elif names and {len(row) for row in rows} == {len(names) + 1}:
        names = ('', *names)  # R omits the name of the row names
    width = len(names) or len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise ValueError(f'line {line} has {len(row)} columns, the first one {width}')
    return Table(names, rows, lines, comma)


def _deeplabcut(rows: list[list[str]], lines: list[int]) -> tuple[list[list[str]], list[int]]:
    """Merge DeepLabCut's lines ``scorer``, ``bodyparts`` and ``coords`` into one. Leave other tables unchanged."""
    levels = [row[0].strip().lower() if row else '' for row in rows[:4]]
    if levels[:1] != ['scorer'] or 'coords' not in levels:
        return rows, lines
    if levels[1:3] != ['bodyparts', 'coords'] or not len(rows[1]) == len(rows[2]):
        raise ValueError(f'DeepLabCut\'s lines {", ".join(levels)}: only scorer, bodyparts, coords of one individual '
                         'are read; write one file per individual')
    names = ['frame', *(f'{part.strip()}_{axis.strip()}' for part, axis in zip(rows[1][1:], rows[2][1:], strict=True))]
    return [names, *rows[3:]], lines[2:]


def _is_count(cells: list[str]) -> bool:
    """Return whether a row is ``0,1,2,3,...``, optionally after an empty cell: column numbers, not coordinates."""
    cells = [cell.strip() for cell in cells]
    cells = cells if cells and cells[0] else cells[1:]
    return len(cells) > 3 and any(cells == [str(i + first) for i in range(len(cells))] for first in (0, 1))


def _separator(line: str, joints: int) -> tuple[str, bool]:
    for separator in '\t;':
        if separator in line:
            return separator, True
    words = line.split()
    if ',' in line and len(words) > 1 and all(re.fullmatch(r'[-+]?\d*,\d+([eE][-+]?\d+)?|[-+]?\d+', word)
                                              for word in words):
        if joints and len(words) == joints:
            return ', ', False  # pairs x,y separated by blanks
        if not joints or len(words) % joints > 1:
            raise ValueError('commas and blanks: are the commas decimal signs? Write decimal points')
        return ' ', True
    return (',', False) if ',' in line else (' ', False)


def _is_number(cell: str, comma: bool) -> bool:
    try:
        number(cell, comma)
        return bool(cell.strip())
    except ValueError:
        return False


def table_clips(table: Table, joints: int, lost: Lost) -> list[Clip]:
    """Return the clips of a table.

    Args:
        table: Table as read.
        joints: V of the layout, which a table without a header needs. 0 if unknown.
        lost: Counts what is dropped.
    """
    if not table.names:
        return [_plain(table, joints)]
    own = {what: next((i for i, name in enumerate(table.names) if name in names), None)
           for what, names in dict(frame=FRAME, time=TIME, track=TRACK, clip=CLIP, label=LABEL, joint=JOINT).items()}
    places = {}  # (joint, axis) -> column
    for i, name in enumerate(table.names):
        if i not in own.values() and (place := _place(name)):
            if place in places:
                raise ValueError(f'the column {name!r} appears twice')
            places[place] = i
    long = own['joint'] is not None and {('', 'x'), ('', 'y')} <= set(places)
    if long:
        points, scores, names = _long(table, own, places, joints)
        return _build(table, own, points, scores, names, lost)
    names = _joint_order([joint for joint, axis in places if axis == 'x' and joint])
    _check_joints(names)
    if not names or any((joint, 'y') not in places for joint in names):
        raise ValueError(f'columns {", ".join(table.names)[:100]}: no columns JOINT_x and JOINT_y, nor joint, x, y')
    rest = [name for i, name in enumerate(table.names) if i not in own.values() and i not in places.values()]
    if rest:
        lost[f'columns that are not coordinates ({", ".join(rest)[:60]})'] += 1
    axes = 'xyz' if all((joint, 'z') in places for joint in names) else 'xy'
    points = np.stack([np.stack([table.numbers(places[joint, axis]) for axis in axes], 1) for joint in names], 1)
    scores = None
    if all((joint, 'score') in places for joint in names):
        scores = np.stack([table.numbers(places[joint, 'score']) for joint in names], 1)
    return _build(table, own, points, scores, names, lost)


def _check_joints(names: Sequence[str]) -> None:
    """Refuse more joints than a layout may have: an array of all frames and joints could take any amount of memory."""
    if len(names) > MAX_JOINTS:
        raise ValueError(f'{len(names)} joints; at most {MAX_JOINTS} are read')


def _place(name: str) -> tuple[str, str] | None:
    """Parse ``nose_x``, ``nose (x)``, ``x_nose``, ``x3`` or ``3x`` to (joint, axis); axis is x, y, z or score."""
    if len(name) > 200:  # the expressions take time that grows with the square
        return None
    if name in ('x', 'y', 'z', *_SCORE):
        joint, axis = '', name
    elif match := _AFTER.fullmatch(name):
        joint, axis = (found for found in match.groups() if found)
    elif match := _BEFORE.fullmatch(name):
        joint, axis = match[2] or match[4], match[1] or match[3]
    else:
        return None
    return joint, axis if axis in 'xyz' else 'score'


def _joint_order(joints: list[str]) -> tuple[str, ...]:
    digits = [re.search(r'(\d+)$', joint) for joint in joints]
    prefixes = {joint[:match.start()] for joint, match in zip(joints, digits, strict=True) if match}
    if joints and all(digits) and len(prefixes) == 1:
        numbers = {joint: int(match[1]) for joint, match in zip(joints, digits, strict=True) if match}
        return tuple(sorted(joints, key=numbers.__getitem__))
    return tuple(joints)


def _plain(table: Table, joints: int) -> Clip:
    """Read rows of V * C numbers without a header, optionally after an ascending number."""
    values = np.stack([table.numbers(i) for i in range(len(table.rows[0]))], 1)
    if not joints:
        fitting = [name for name, layout in LAYOUTS.items() if any(
            layout.num_joints * width in (values.shape[1], values.shape[1] - 1) for width in (2, 3))]
        raise ValueError(f'{values.shape[1]} columns without a header: give --layout ('
                         f'{", ".join(fitting) or "a json file; no layout that is built in has as many joints"})')
    if values.shape[1] % joints == 1 and (len(values) < 2 or (np.diff(values[:, 0]) > 0).all()):
        values = values[:, 1:]
    width = values.shape[1] // joints
    if values.shape[1] % joints or not 2 <= width <= 4:
        raise ValueError(f'{values.shape[1]} numbers per line, which is not 2, 3 or 4 for each of the {joints} joints')
    if width == 4 and all('.' not in cell and 'e' not in cell.lower() for row in table.rows for cell in row):
        raise ValueError('only whole numbers, 4 for each joint: are the commas decimal signs? Write decimal points')
    return Clip([[Person(frame)] for frame in values.reshape(len(values), joints, width)])


def _long(table: Table, own: dict, places: dict, joints: int):
    """Return points, scores and names (R',V,C) from one row per joint. ``own`` points to each frame's first row."""
    column = [row[own['joint']].strip() for row in table.rows]
    names = _joint_order(list(dict.fromkeys(column)))
    if own['frame'] is None and own['time'] is None:
        raise ValueError('one row per joint, but no column with the frame number')
    keys = [tuple(row[own[what]] for what in ('clip', 'track', 'frame', 'time') if own[what] is not None)
            for row in table.rows]
    rows: dict = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    _check_joints(names)
    if len(rows) * len(names) > max(MAX_MISSING, 10 * len(keys)):
        raise ValueError(f'{len(names)} joints and {len(rows)} frames, but only {len(keys)} rows')
    axes = 'xyz' if ('', 'z') in places else 'xy'
    points = np.full((len(rows), len(names), len(axes)), np.nan)
    scores = np.full(points.shape[:2], np.nan) if ('', 'score') in places else None
    place = {name: i for i, name in enumerate(names)}
    at = (np.array([rows[key] for key in keys]), np.array([place[name] for name in column]))
    if len(set(zip(*at, strict=True))) < len(keys):
        raise ValueError('a joint appears twice in a frame: is a column that identifies the person missing?')
    for i, axis in enumerate(axes):
        points[at[0], at[1], i] = table.numbers(places['', axis])
    if scores is not None:
        scores[at] = table.numbers(places['', 'score'])
    first = [keys.index(key) for key in rows] if len(rows) < 2 else _firsts(keys)
    table.rows[:] = [table.rows[i] for i in first]
    table.lines[:] = [table.lines[i] for i in first]
    return points, scores, names


def _firsts(keys: list) -> list[int]:
    first: dict = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return list(first.values())


def _times(table: Table, column: int | None, lost: Lost) -> np.ndarray | None:
    """Return the times (R,) of the rows. Times that are not numbers (dates) are numbered in their order."""
    if column is None:
        return None
    try:
        return table.numbers(column)
    except ValueError:
        lost[f'column of times that are not numbers ({table.names[column]}), so rows are read in their order'] += 1
        place: dict[str, float] = {}
        return np.array([place.setdefault(row[column].strip(), len(place)) for row in table.rows], float)


def _build(table: Table, own: dict, points: np.ndarray, scores: np.ndarray | None, names: tuple, lost: Lost
           ) -> list[Clip]:
    """Return clips of frames of persons from one row per person and frame."""
    if (bad := ~np.isfinite(points).all(2)).any():
        lost['joints without numbers'] += int(bad.sum())
    frame = None if own['frame'] is None else table.numbers(own['frame'])
    whole = frame is not None and (np.isfinite(frame) & (frame == np.floor(frame))).all() and np.abs(frame).max() < 1e15
    order = frame if frame is not None else _times(table, own['time'], lost)
    clips: dict = defaultdict(list)
    for i, row in enumerate(table.rows):
        track = row[own['track']].strip() if own['track'] is not None else None
        clips[row[own['clip']].strip() if own['clip'] is not None else ''].append(
            (i, Person(points[i], None if scores is None else np.nan_to_num(scores[i]), track)))
    made = []
    for name, rows in clips.items():
        if order is None:
            frames = [[one] for _, one in rows]
        elif whole:
            frames = in_order([(int(order[i]), [one]) for i, one in rows])
        else:
            by_time: dict = defaultdict(list)
            for i, one in rows:
                by_time[float(order[i])].append(one)
            frames = [by_time[at] for at in sorted(by_time)]
        labels = {table.rows[i][own['label']].strip() for i, _ in rows} if own['label'] is not None else set()
        if len(labels) > 1:
            raise ValueError(f'the class changes within the clip ({", ".join(sorted(labels)[:3])}): use one file '
                             'per clip, or a column "clip"')
        joints = () if all(re.fullmatch(r'\D*\d+', joint) for joint in names) else names
        made.append(Clip(frames, name if len(clips) > 1 else '', joints, next(iter(labels), None) or None))
    return made
