"""File names derived from labels.

A name read from a file (of a split, class, method or sample) is a label. It never becomes part of a path unchanged.
"""
import hashlib
from urllib.parse import quote

LONGEST = 150  # characters; leaves room for suffixes such as .npz.12345.tmp within the 255 bytes of a file name


def file_name(label: str) -> str:
    """Return a file name for any text.

    The name is ASCII and has at most :data:`LONGEST` characters. It is never empty, hidden or an option. Different
    labels have different names. Letters, digits and ``_ . -`` are kept. Other characters are percent-encoded as in a
    URL (``urllib.parse.unquote`` reverses it). Long labels are truncated and get a hash of the full label appended.

    Args:
        label: Any text, including an empty one, ``..``, and text with separators, control characters or lone
            surrogates.
    """
    if not label:
        return '%empty'  # quote() never returns this: it writes two upper-case hexadecimal digits after %
    name = quote(label, safe='', errors='surrogatepass')
    if name[0] in '.-~':
        name = f'%{ord(name[0]):02X}{name[1:]}'
    if len(name) > LONGEST:
        digest = hashlib.sha256(label.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
        name = f'{name[:LONGEST - 34]}%-{digest}'
    return name
