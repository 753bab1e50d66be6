"""Reads text of other programs: encodings, and numbers as written by C, MATLAB and pandas."""
import re

from mmskelssl.datasets.importers.source import text_of

_MSVC = re.compile(r'([-+]?)1\.#(IND|QNAN|SNAN|INF)\w*', re.IGNORECASE)
_NOTHING = frozenset(('', 'nan', 'na', 'n/a', '#n/a', 'null', 'none', '<na>'))
_NUMBER = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?', re.ASCII)
_DECIMAL_COMMA = re.compile(r'[-+]?\d*,\d+([eE][-+]?\d+)?', re.ASCII)


def any_text(data: bytes) -> str:
    """Decode UTF-8 or Latin-1 text, for formats in which only comments may contain non-ASCII characters."""
    try:
        return plain_nan(text_of(data))
    except ValueError:
        if b'\0' in data or data[:2] in (b'\xff\xfe', b'\xfe\xff'):
            raise
    return plain_nan(text_of(data.decode('latin-1').encode()))


def plain_nan(text: str) -> str:
    """Replace ``-1.#IND`` and similar output of Microsoft's C library with ``nan`` and ``inf``."""
    if '.#' not in text:
        return text
    return _MSVC.sub(lambda found: f'{found[1]}inf' if found[2].upper() == 'INF' else 'nan', text)


def number(cell: str, comma: bool = False) -> float:
    """Parse a number. Empty cells and the usual words for missing values give NaN.

    Args:
        cell: Text.
        comma: Whether a decimal comma is allowed.

    Raises:
        ValueError: The text is anything else.
    """
    cell = cell.strip()
    if cell.lower() in _NOTHING:
        return float('nan')
    if comma and _DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(',', '.')
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if cell.lower().lstrip('+-') in ('inf', 'infinity'):
        return float('nan')
    raise ValueError(f'{cell[:30]!r} is not a number')


def label_text(data: bytes, what: str) -> str:
    """Decode a table of labels as UTF-8. The ValueError names the required and the likely encoding."""
    if data[:2] in (b'\xff\xfe', b'\xfe\xff'):
        raise ValueError(f'{what} is UTF-16 text: save it as UTF-8 (CSV UTF-8 in a spreadsheet)')
    try:
        return text_of(data)
    except ValueError as error:
        if b'\0' in data:
            raise
        seems = ''
        for encoding in ('gb18030', 'cp1252'):
            try:
                data.decode(encoding)
                seems = f' (it may be {"GBK" if encoding == "gb18030" else "Latin-1"})'
                break
            except UnicodeDecodeError:
                continue
        raise ValueError(f'{what} is not UTF-8 text{seems}: save it as UTF-8; {error}') from None
