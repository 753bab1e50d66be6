"""Clips of tables of coordinates: wide (``nose_x, nose_y, ...``), long (``frame, joint, x, y``), or without a header.

Columns other than coordinates (a frame number, a person, a class) have known names. An empty cell is a missing joint.
"""
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Person
from mmskelssl.datasets.importers.pose.values import check_restart, in_order, picture_place
from mmskelssl.datasets.importers.table import Table
from mmskelssl.layouts import LAYOUTS
from mmskelssl.layouts.skeleton import MAX_JOINTS

FRAME = ('frame', 'frame_id', 'frame_number', 'frame_idx', 'frame_index', 'frameid', 'framenum', 'frame_num')
TIME = ('time', 'timestamp', 'timestamp_ms', 'time_ms', 'seconds', 't', 'index', 'idx', '', 'unnamed: 0')
TRACK = ('person', 'person_id', 'person_idx', 'person_index', 'track', 'track_id', 'track_idx', 'body', 'body_id',
         'individual', 'instance', 'instance_id', 'subject_id', 'id')
CLIP = ('video', 'video_id', 'clip', 'clip_id', 'sequence', 'sequence_id', 'file', 'filename', 'file_name', 'name')
PICTURE = ('image', 'image_id', 'image_name', 'image_path', 'image_file', 'img', 'img_name', 'picture')
LABEL = ('label', 'class', 'action', 'activity')
JOINT = ('joint', 'joint_name', 'joint_id', 'keypoint', 'keypoint_name', 'keypoint_id', 'landmark', 'landmark_id',
         'landmark_name', 'landmark_index', 'bodypart', 'body_part', 'bodyparts', 'point', 'marker', 'part')
UNNAMED = ('', 'unnamed: 0')  # the column of row names that pandas and R write
MAX_MISSING = 10_000_000  # joints of a table with a row each, of which most are missing
_ENDING = re.compile(r'\.(jpe?g|png|bmp|webp|tiff?)', re.IGNORECASE)  # of pictures
_SCORE = ('score', 's', 'v', 'vis', 'visibility', 'c', 'conf', 'confidence', 'likelihood', 'prob', 'p')
_AXIS = 'x|y|z|' + '|'.join(sorted(_SCORE, key=len, reverse=True))
_AFTER = re.compile(rf'(.+)[_ .:/-]+({_AXIS})|(.+?)[_ ]*[(\[]({_AXIS})[)\]]|(\d+)({_AXIS})', re.IGNORECASE)
_BEFORE = re.compile(rf'({_AXIS})[_ .:/-]*(\d+)|({_AXIS})[_ .:/-]+(.+)', re.IGNORECASE)


def table_clips(table: Table, joints: int, lost: Lost) -> list[Clip]:
    """Return the clips of a table.

    Args:
        table: Table as read.
        joints: V of the layout, which a table without a header needs. 0 if unknown.
        lost: Counts what is dropped.
    """
    if not table.names:
        return [_plain(table, joints)]
    table = _by_picture(table)
    plain = [name.replace('_', '') for name in table.names]
    own = {what: next((plain.index(found) for name in names if (found := name.replace('_', '')) in plain), None)
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
    flat = [joint for joint in names if (joint, 'z') not in places]
    if 0 < len(flat) < len(names):
        raise ValueError(f'{len(names) - len(flat)} joints have a column for z, but {flat[0]!r} has none: add its '
                         'column, or remove those of the others')
    axes = 'xy' if flat else 'xyz'
    scored = all((joint, 'score') in places for joint in names)
    used = {places[joint, axis] for joint in names for axis in (*axes, *['score'] * scored)}
    rest = {i: name for i, name in enumerate(table.names) if name not in UNNAMED and i not in own.values()
            and i not in used}
    alone = {i: rest.pop(i) for i in places.values() if i in rest}
    for what, left in (('are not coordinates', rest), ('other joints do not have', alone)):
        if left:
            lost[f'columns that {what} ({", ".join(left.values())[:60]})'] += 1
    points = np.stack([np.stack([table.numbers(places[joint, axis]) for axis in axes], 1) for joint in names], 1)
    scores = None
    if scored:
        scores = np.stack([table.numbers(places[joint, 'score']) for joint in names], 1)
    return _build(table, own, points, scores, names, lost)


def _by_picture(table: Table) -> Table:
    """Replace a column of pictures (``walk_0001.jpg``) by their clips and, unless it is stated, the frame number."""
    for i, name in enumerate(table.names):
        cells = [row[i].strip() for row in table.rows] if name in (*PICTURE, *CLIP) else []
        if not any(cells) or not all(_ENDING.fullmatch(PurePosixPath(cell).suffix) for cell in cells if cell):
            continue
        places = [picture_place(cell) if cell else ('', None) for cell in cells]
        if any(cell and number is None for cell, (_, number) in zip(cells, places, strict=True)):
            continue  # single pictures
        names = (*table.names[:i], *table.names[i + 1:])
        clip = not set(names) & set(CLIP)
        frame = not set(names) & ({*FRAME, *TIME} - {*UNNAMED, 'index', 'idx'})
        return table._replace(names=(*names, *['clip'] * clip, *['frame'] * frame), rows=[
            [*row[:i], *row[i + 1:], *[prefix] * clip, *['' if number is None else str(number)] * frame]
            for row, (prefix, number) in zip(table.rows, places, strict=True)])
    return table


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
    frame = None if own['frame'] is None else table.numbers(own['frame'])
    order = frame if frame is not None else _times(table, own['time'], lost)
    kept = np.ones(len(points), bool)
    if order is not None and not np.isfinite(order).any():
        order = None  # an empty column
    elif order is not None:
        kept = np.isfinite(order)
        if (lacks := ~kept & np.isfinite(points).any((1, 2))).any():
            raise ValueError(f'line {table.lines[int(lacks.argmax())]} has coordinates, but no number in the column '
                             f'{table.names[own["time"] if frame is None else own["frame"]]!r} that orders the lines: '
                             'fill in the number, or remove the line')
    if not kept.all():  # such as the last lines of a spreadsheet
        lost['lines without any number'] += int((~kept).sum())
    if (bad := ~np.isfinite(points[kept]).all(2)).any():
        lost['joints without numbers'] += int(bad.sum())
    whole = order is not None and order is frame and (frame[kept] == np.floor(frame[kept])).all() and np.abs(
        frame[kept]).max() < 1e15
    clips: dict = defaultdict(list)
    for i, row in enumerate(table.rows):
        if not kept[i]:
            continue
        track = row[own['track']].strip() or None if own['track'] is not None else None
        clips[row[own['clip']].strip() if own['clip'] is not None else ''].append(
            (i, Person(points[i], None if scores is None else np.nan_to_num(scores[i]), track, points.shape[2] > 2)))
    made = []
    for name, rows in clips.items():
        if order is not None:
            check_restart([(int(order[i]) if whole else float(order[i]), [one]) for i, one in rows])
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
