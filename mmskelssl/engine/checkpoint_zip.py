"""The table of contents of a checkpoint's zip archive, read so that Python and torch cannot disagree on it.

Python's ``zipfile`` looks for the table directly before the end of the archive, torch's reader where the end record
says. Python distinguishes upper and lower case, torch does not. An archive could use this to show harmless content to
the checks and other content to ``torch.load``. Only archives with a single possible reading are accepted, which all
archives written by torch are.
"""
import struct
import zipfile

_END, _END64, _LOCATOR = b'PK\5\6', b'PK\6\6', b'PK\6\7'
_END_SIZE, _END64_SIZE = 22, 56 + 20  # bytes; the latter with its locator


def check_table(archive: zipfile.ZipFile) -> None:
    """Check that an archive has one table of contents and that each entry has one name and one size.

    Raises:
        ValueError: If different readers may see different contents.
    """
    entries = archive.infolist()
    folder = entries[0].filename.partition('/')[0] + '/' if entries else ''
    for entry in entries:
        if entry.filename != entry.orig_filename or not entry.filename.startswith(folder):
            raise ValueError('entries with two names, or in several folders')
        if entry.extra and (entry.extra[:2] != b'\1\0' or struct.unpack('<H', entry.extra[2:4])[0] + 4
                            != len(entry.extra)):
            raise ValueError('entries with unusual extra fields')
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise ValueError('entries whose names differ only in upper and lower case')
    if _table(archive.fp) != len(entries):
        raise ValueError('a table of contents that does not list its entries')


def _table(file) -> int:
    """Check that the table of contents ends where the end records begin. Return its number of entries."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_SIZE - _END64_SIZE))
    tail = file.read()
    end, before = tail[-_END_SIZE:], tail[:-_END_SIZE]
    if end[:4] != _END or end[4:8] != bytes(4) or end[20:] != bytes(2):
        raise ValueError('an end with a comment or several disks')
    found, stop = struct.unpack('<HHII', end[8:20]), size - _END_SIZE
    if before[-20:-16] == _LOCATOR:
        stop -= _END64_SIZE
        locator, record = before[-20:], before[-_END64_SIZE:-20]
        if struct.unpack('<IQI', locator[4:]) != (0, stop, 1) or record[:4] != _END64:
            raise ValueError('two end records')
        wide = struct.unpack('<QQQQ', record[24:])
        if record[16:24] != bytes(8) or any(short not in (long, most) for short, long, most in zip(
                found, wide, (0xffff, 0xffff, 0xffffffff, 0xffffffff), strict=True)):
            raise ValueError('two end records that differ')
        found = wide
    count, total, length, start = found
    if count != total or start + length != stop:
        raise ValueError('a table of contents that is not directly before its end record')
    return count
