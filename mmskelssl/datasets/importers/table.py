"""Tables of coordinates in CSV and other text.

Columns are separated by tabs, else semicolons, else commas, else blanks. A decimal comma is allowed only if commas do
not separate columns. The first line is a header if one of its cells is not a number.
"""
import csv
import re
from typing import NamedTuple

import numpy as np

from mmskelssl.datasets.importers.pose.contract import MAX_FRAMES
from mmskelssl.datasets.importers.text import number, plain_nan

_WORD = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')  # begins here: left|Foot|X, L|Foot


class Table(NamedTuple):
    """A table of text.

    Args:
        names: Names of the columns in lower case, ``leftFootX`` as ``left_foot_x``. Empty without a header.
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
    names = tuple(_WORD.sub('_', cell.strip()).lower() for cell in rows[0]) if header else ()
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
