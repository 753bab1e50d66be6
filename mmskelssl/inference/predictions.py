"""Writes predictions as csv, json or npz, and draws them."""
import csv
import io
import json
import os.path as osp
from collections.abc import Sequence

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError, printable
from mmskelssl.inference.classifier import Predictions
from mmskelssl.inference.clips import ClipSet

SUFFIXES = ('.csv', '.json', '.npz')
_RANKS = ('best', 'second', 'third')
MAX_DRAWN = 24


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several sets of clips as one."""
    first = parts[0]
    return Predictions([name for part in parts for name in part.ids], first.classes,
                       np.concatenate([part.probabilities for part in parts]), first.threshold)


def header(top: int) -> list[str]:
    """Return the columns of a table: id, class, and the best classes with their probabilities."""
    ranks = [_RANKS[i] if i < len(_RANKS) else f'rank{i + 1}' for i in range(top)]
    return ['id', 'class', *(f'{rank}{what}' for rank in ranks for what in ('', '_probability'))]


def table(predictions: Predictions, top: int) -> list[list[str]]:
    """Return a line for each clip, see :func:`header`. ``class`` is the best class, or ``unknown``."""
    top = min(top, len(predictions.classes))
    return [[name, answer, *(text for label, chance in best for text in (label, f'{chance:.4f}'))]
            for name, answer, best in zip(predictions.ids, predictions.names, predictions.top(top), strict=True)]


def print_table(predictions: Predictions, top: int) -> None:
    """Print the table with aligned columns."""
    lines = [header(min(top, len(predictions.classes))),
             *([printable(cell) for cell in line] for line in table(predictions, top))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def check_output(path: str) -> None:
    """Refuse a file whose suffix is not that of a table."""
    if osp.splitext(path)[1].lower() not in SUFFIXES:
        raise UserError(f'{path}: the suffix must be {", ".join(SUFFIXES)}')


def write_predictions(path: str, predictions: Predictions, top: int) -> None:
    """Write predictions atomically.

    A ``.csv`` holds the columns of :func:`header`. A ``.json`` holds ``classes``, ``threshold`` and ``clips``, each
    with ``id``, ``class``, ``unknown`` and the ``top`` classes. An ``.npz`` holds ``ids``, ``classes``,
    ``probabilities`` (N, K) and ``unknown`` (N,).
    """
    check_output(path)
    suffix = osp.splitext(path)[1].lower()
    if suffix == '.csv':
        text = io.StringIO()
        lines = csv.writer(text, lineterminator='\n')
        lines.writerow(header(min(top, len(predictions.classes))))
        lines.writerows(table(predictions, top))
        data = text.getvalue().encode('utf-8', 'surrogateescape')
    elif suffix == '.json':
        data = (json.dumps(_plain(predictions, top), indent=1) + '\n').encode()
    else:
        file = io.BytesIO()
        np.savez(file, ids=np.array(predictions.ids, dtype=str), classes=np.array(predictions.classes, dtype=str),
                 probabilities=predictions.probabilities, unknown=predictions.unknown)
        data = file.getvalue()
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another place') from error


def _plain(predictions: Predictions, top: int) -> dict:
    clips = [{'id': name, 'class': answer, 'unknown': bool(unknown),
              'top': [{'class': label, 'probability': round(chance, 6)} for label, chance in best]}
             for name, answer, unknown, best in zip(predictions.ids, predictions.names, predictions.unknown,
                                                    predictions.top(top), strict=True)]
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
