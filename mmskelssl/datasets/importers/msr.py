"""MSR Action3D's real-world coordinates: text files with rows ``x y z confidence``, 20 rows per frame."""
import re
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['high arm wave', 'horizontal arm wave', 'hammer', 'hand catch', 'forward punch', 'high throw', 'draw X',
           'draw tick', 'draw circle', 'hand clap', 'two hand wave', 'side boxing', 'bend', 'forward kick', 'side kick',
           'jogging', 'tennis swing', 'tennis serve', 'golf swing', 'pickup and throw']
# Its joints, in the order of Kinect v1.
JOINTS = [6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18]
SUBSETS = dict(as1=(2, 3, 5, 6, 10, 13, 18, 20), as2=(1, 4, 7, 8, 9, 11, 12, 14), as3=(6, 14, 15, 16, 17, 18, 19, 20))
_NAME = re.compile(r'(a(\d+)_s(\d+)_e(\d+)).*')


Exclude = Annotated[str | None, 'Text file of names such as a07_s04_e01 to leave out of every split except "all": '
                                "the data set's authors list ten damaged sequences; default none"]


def import_msr(path: str, writer: StoreWriter, *, exclude: Exclude = None, jobs: Jobs = None) -> None:
    """Folder or zip of MSR Action3D's real-world skeleton text files; splits train, test, all, as1, as2, as3.

    Odd subjects train, even ones test. Frames without a skeleton (all zeros) are dropped.
    """
    source = Source(path)
    files = [name for name in source.files('.txt') if _NAME.fullmatch(stem(name))]
    if not files:
        raise UserError(f'{path}: no text files named aXX_sXX_eXX_skeleton3D.txt in it')
    damaged = set(re.findall(r'a\d+_s\d+_e\d+', Source(exclude).text())) if exclude else set()
    writer.describe('kinect20')
    writer.index['classes'] = CLASSES
    import_files(source, files, read_text, writer, jobs)
    for part, odd in (('train', 1), ('test', 0)):
        rest = [s for s in writer.samples if s['subject'] % 2 == odd]
        writer.set_split(f'all_{part}', (s['id'] for s in rest))
        sound = [s for s in rest if s['id'] not in damaged]
        writer.set_split(part, (s['id'] for s in sound))
        for name, actions in SUBSETS.items():
            writer.set_split(f'{name}_{part}', (s['id'] for s in sound if s['label'] + 1 in actions))


def read_text(name: str, data: bytes) -> list[dict]:
    """Return the sample of a file."""
    match = _NAME.fullmatch(stem(name))
    if not match:
        raise ValueError('its name is not one of MSR Action3D')
    identifier, action, subject, _ = match.groups()
    if not 1 <= int(action) <= len(CLASSES):
        raise ValueError(f'action {action} is outside 1..{len(CLASSES)}')
    rows = []
    for number, line in enumerate(plain_nan(text_of(data)).splitlines(), 1):
        if line.strip():
            try:
                x, y, z, _ = map(float, line.split())
            except ValueError:
                raise ValueError(f'line {number}: {line[:40]!r} is not x y z confidence') from None
            rows.append((x, y, z))
    if not rows or len(rows) % 20:
        raise ValueError(f'{len(rows)} rows, not 20 per frame')
    frames = np.array(rows).reshape(-1, 20, 3)[:, JOINTS]
    seen = np.asarray(frames.any((1, 2)))
    if not seen.any():
        raise ValueError('the skeleton is lost in every frame')
    note = dict(note=f'{(~seen).sum()} of {len(seen)} frames without a body dropped') if not seen.all() else {}
    return [dict(name=identifier, keypoints=frames[None, seen], label=int(action) - 1, subject=int(subject), **note)]
