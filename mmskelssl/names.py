"""Labels, and the file names made of them.

A name that comes from a file (a split, a class, a method, a sample) is a label. It never becomes part of a path as it
is.
"""
import hashlib
from urllib.parse import quote

LONGEST = 150  # characters; leaves room for endings such as .npz.12345.tmp within the 255 bytes of a file name


def file_name(label: str) -> str:
    """A file name for any text: ASCII, of at most :data:`LONGEST` characters, never empty, hidden or an option.

    Different labels give different names. Letters, digits and ``_ . -`` stay, the rest is percent-encoded as in a URL
    (``urllib.parse.unquote`` reverses it). A long label keeps its beginning, followed by a hash of the whole.

    Args:
        label: Any text, also an empty one, ``..``, one with separators, control characters or lone surrogates.
    """
    if not label:
        return '%empty'  # quote() never makes this: after % it writes two hexadecimal digits, in capitals
    name = quote(label, safe='', errors='surrogatepass')
    if name[0] in '.-~':
        name = f'%{ord(name[0]):02X}{name[1:]}'
    if len(name) > LONGEST:
        digest = hashlib.sha256(label.encode('utf-8', 'surrogatepass')).hexdigest()[:32]
        name = f'{name[:LONGEST - 34]}%-{digest}'
    return name
