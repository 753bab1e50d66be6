"""Writes predictions and segments as csv, json or npz, and draws them."""
import csv
import io
import json
import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError, printable
from mmskelssl.inference.clips import ClipSet
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.segments import Segment
from mmskelssl.inference.timeline import Timeline

SUFFIXES = ('.csv', '.json', '.npz')
_RANKS = ('best', 'second', 'third')
MAX_DRAWN = 24


def header(predictions: Predictions, top: int, more: Mapping[str, Sequence] | None = None) -> list[str]:
    """Return the columns of a table: id, further columns, class, and the best classes with their probabilities."""
    top = min(top, len(predictions.classes))
    ranks = [_RANKS[i] if i < len(_RANKS) else f'rank{i + 1}' for i in range(top)]
    return ['id', *(more or {}), 'class', *(f'{rank}{what}' for rank in ranks for what in ('', '_probability'))]


def table(predictions: Predictions, top: int, more: Mapping[str, Sequence] | None = None) -> list[list[str]]:
    """Return a line for each clip, see :func:`header`. ``class`` is the best class, or ``unknown``."""
    extra = list(zip(*(more or {}).values(), strict=True)) or [()] * len(predictions)
    return [[name, *('' if value is None else str(value) for value in values), answer,
             *(text for label, chance in best for text in (label, f'{chance:.4f}'))]
            for name, values, answer, best in zip(predictions.ids, extra, predictions.names, predictions.top(top),
                                                  strict=True)]


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with aligned columns."""
    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def check_output(path: str) -> None:
    """Refuse a file whose suffix is not that of a table."""
    if osp.splitext(path)[1].lower() not in SUFFIXES:
        raise UserError(f'{path}: the suffix must be {", ".join(SUFFIXES)}')


def write_predictions(path: str, predictions: Predictions, top: int,
                      more: Mapping[str, Sequence] | None = None) -> None:
    """Write predictions atomically.

    A ``.csv`` holds the columns of :func:`header`. A ``.json`` holds ``classes``, ``threshold`` and ``clips``, each
    with ``id``, ``class``, ``unknown`` and the ``top`` classes. An ``.npz`` holds ``ids``, ``classes``,
    ``probabilities`` (N, K) and ``unknown`` (N,). All of them hold the columns ``more`` as well, (N,) each.
    """
    check_output(path)
    suffix = osp.splitext(path)[1].lower()
    if suffix == '.csv':
        write_table(path, header(predictions, top, more), table(predictions, top, more))
    elif suffix == '.json':
        write_table(path, (json.dumps(_plain(predictions, top, more or {}), indent=1) + '\n').encode())
    else:
        file = io.BytesIO()
        arrays: dict[str, Any] = {key: np.array([-1 if value is None else value for value in values])
                                  for key, values in (more or {}).items()}
        np.savez(file, ids=np.array(predictions.ids, dtype=str), classes=np.array(predictions.classes, dtype=str),
                 probabilities=predictions.probabilities, unknown=predictions.unknown, **arrays)
        write_table(path, file.getvalue())


def write_table(path: str, data: bytes | Sequence[str], lines: Sequence[Sequence[str]] = ()) -> None:
    """Write bytes, or a header and lines as csv, atomically."""
    if not isinstance(data, bytes):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow(data)
        writer.writerows([[_text(cell) for cell in line] for line in lines])
        data = text.getvalue().encode('utf-8', 'surrogateescape')
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another place') from error


def _text(cell: str) -> str:
    """Return a cell as a spreadsheet has to read it: a name from a file is never a formula."""
    if not cell or cell[0] not in '=+-@\t\r':
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _plain(predictions: Predictions, top: int, more: Mapping[str, Sequence]) -> dict:
    clips = [{'id': name, **{key: values[i] for key, values in more.items()}, 'class': answer, 'unknown': bool(unknown),
              'top': [{'class': label, 'probability': round(chance, 6)} for label, chance in best]}
             for i, (name, answer, unknown, best) in enumerate(zip(
                 predictions.ids, predictions.names, predictions.unknown, predictions.top(top), strict=True))]
    return dict(classes=predictions.classes, threshold=predictions.threshold, clips=clips)


def draw_predictions(path: str, sets: Sequence[ClipSet], predictions: Predictions, fps: float | None) -> int:
    """Draw the first clips with their classes as ``.mp4``, ``.gif`` or ``.png``. Returns the number of clips drawn."""
    from mmskelssl.visualization.panels import Panel, Row, draw_panels
    layouts = {clips.layout.name: clips.layout for clips in sets}
    if len(layouts) > 1:
        raise UserError(f'--draw: the clips have different layouts, {", ".join(layouts)}; draw them one by one')
    places = [(clips, i) for clips in sets for i in range(len(clips))][:MAX_DRAWN]
    panels, tops, names = [], predictions.top(1), predictions.names
    for row, (clips, i) in enumerate(places):
        (best, chance), answer = tops[row][0], names[row]
        note = f'{best} {100 * chance:.0f} %' if answer == best else f'{answer} ({best} {100 * chance:.0f} %)'
        panels.append(Panel(note, clips.read(i)[0], osp.basename(predictions.ids[row])[-28:]))
    draw_panels([Row('', panels)], next(iter(layouts.values())), path, 'predictions', fps or 30., columns=6)
    return len(panels)


def segment_rows(found: Sequence[Segment]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the lines of a table of segments."""
    return ['id', 'person', 'start', 'end', 'class', 'probability'], [
        [one.id, '' if one.person is None else str(one.person), f'{one.start:.3f}', f'{one.end:.3f}', one.label,
         f'{one.probability:.4f}'] for one in found]


def write_segments(path: str, found: Sequence[Segment]) -> None:
    """Write segments as ``.csv`` or ``.json``."""
    if path.lower().endswith('.json'):
        plain = [{('class' if key == 'label' else key): value for key, value in asdict(one).items()} for one in found]
        write_table(path, (json.dumps(plain, indent=1) + '\n').encode())
    elif path.lower().endswith('.csv'):
        write_table(path, *segment_rows(found))
    else:
        raise UserError(f'{path}: the suffix must be .csv or .json')


def draw_segments(path: str, timeline: Timeline, found: Sequence[Segment]) -> int:
    """Draw each recording and person with probabilities and segments as ``.png``. Returns how many were drawn."""
    from mmskelssl.visualization.timeline import Track, draw_timeline
    place = {name: i for i, name in enumerate(timeline.predictions.classes)}
    tracks = []
    for clip, person in dict.fromkeys((window.clip, window.person) for window in timeline.windows):
        rows = [row for row, window in enumerate(timeline.windows) if (window.clip, window.person) == (clip, person)]
        keypoints, name = timeline.clips.read(clip)[0], timeline.clips.ids[clip]
        own = [timeline.windows[row] for row in rows]
        tracks.append(Track(
            name if person is None else f'{name}, person {person}',
            keypoints if person is None else keypoints[person:person + 1], keypoints.shape[1] / own[0].fps,
            np.array([(window.start + window.end) / 2 for window in own]), timeline.predictions.probabilities[rows],
            [(one.start, one.end, place.get(one.label, -1)) for one in found
             if (one.id, one.person) == (name, person)]))
    return draw_timeline(tracks, timeline.predictions.classes, timeline.clips.layout, path)
