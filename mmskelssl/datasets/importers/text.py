"""Text of other programs: encodings, and numbers as C, MATLAB and pandas write them."""
import re

from mmskelssl.datasets.importers.source import text_of

_MSVC = re.compile(r'([-+]?)1\.#(IND|QNAN|SNAN|INF)\w*', re.IGNORECASE)
_NOTHING = frozenset(('', 'nan', 'na', 'n/a', '#n/a', 'null', 'none', '<na>'))
_NUMBER = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?', re.ASCII)
_DECIMAL_COMMA = re.compile(r'[-+]?\d*,\d+([eE][-+]?\d+)?', re.ASCII)


def any_text(data: bytes) -> str:
    """UTF-8 text, else Latin-1: for formats whose numbers and keywords are ASCII, and only comments are not."""
    try:
        return plain_nan(text_of(data))
    except ValueError:
        if b'\0' in data or data[:2] in (b'\xff\xfe', b'\xfe\xff'):
            raise
    return plain_nan(text_of(data.decode('latin-1').encode()))


def plain_nan(text: str) -> str:
    """``-1.#IND`` and its like, which Microsoft's C library prints, as ``nan`` and ``inf``."""
    if '.#' not in text:
        return text
    return _MSVC.sub(lambda found: f'{found[1]}inf' if found[2].upper() == 'INF' else 'nan', text)


def number(cell: str, comma: bool = False) -> float:
    """A number; NaN for an empty cell and the usual words for none. A ValueError for anything else.

    Args:
        cell: Text.
        comma: Whether the decimal sign may be a comma.
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
    raise ValueError(f'{cell[:30]!r} is no number')


def label_text(data: bytes, what: str) -> str:
    """UTF-8 text of a table of labels; a ValueError says which encoding is wanted, and which one it seems to have."""
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
        raise ValueError(f'{what} is no UTF-8 text{seems}: save it as UTF-8; {error}') from None
