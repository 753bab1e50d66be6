"""SBU Kinect Interaction: raw ``skeleton_pos.txt`` files, two persons, in metres here."""
import re

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, text_of
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['approaching', 'departing', 'kicking', 'pushing', 'shaking hands', 'hugging', 'exchanging object',
           'punching']
# The five folds of the data set, by pair of participants.
FOLDS = (('s01s02', 's03s04', 's05s02', 's06s04'), ('s02s03', 's02s07', 's03s05', 's05s03'),
         ('s01s03', 's01s07', 's07s01', 's07s03'), ('s02s01', 's02s06', 's03s02', 's03s06'),
         ('s04s02', 's04s03', 's04s06', 's06s02', 's06s03'))
# The data set's x' = (1280 - x) / 2560, y' = (960 - y) / 1920, z' = z / 1280, millimetres, apart from a shift. Persons
# who are not detected are all zeros, and stay zero.
METRES = (-2.56, -1.92, 1.28)
_NAME = re.compile(r'(?:.*/)?(s\d\ds\d\d)/(\d+)/(\d+)/skeleton_pos\.txt')


def import_sbu(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of SBU's raw skeleton_pos.txt files (s01s02/01/001/skeleton_pos.txt ...); splits fold1 to fold5.

    The normalised coordinates of the files are converted back to metres, y up (:data:`METRES`). Bones have constant
    lengths in metres, but not in normalised coordinates.
    """
    source = Source(path)
    files = [name for name in source.files('.txt') if _NAME.fullmatch(name)]
    if not files:
        raise UserError(f'{path}: no files named like s01s02/01/001/skeleton_pos.txt in it')
    writer.describe('sbu15')
    writer.index['classes'] = CLASSES
    import_files(source, files, read_positions, writer, jobs)
    for number, pairs in enumerate(FOLDS, 1):
        writer.set_split(f'fold{number}_train', (s['id'] for s in writer.samples if s['pair'] not in pairs))
        writer.set_split(f'fold{number}_test', (s['id'] for s in writer.samples if s['pair'] in pairs))


def read_positions(name: str, data: bytes) -> list[dict]:
    """Return the sample of a file with lines ``frame, 90 numbers``, ordered by frame. Repeated frames count once."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError('its name is not that of an SBU file')
    pair, action, take = match.groups()
    if not 1 <= int(action) <= len(CLASSES):
        raise ValueError(f'action {action} is outside 1..{len(CLASSES)}')
    frames = {}
    for number, line in enumerate(plain_nan(text_of(data)).splitlines(), 1):
        values = line.replace(',', ' ').split()
        if values:
            try:
                frame, *joints = map(float, values)
            except ValueError:
                raise ValueError(f'line {number}: not only numbers in it') from None
            if len(joints) != 90:
                raise ValueError(f'line {number}: {len(joints)} coordinates, expected 90')
            if not frame.is_integer():
                raise ValueError(f'line {number}: its first number, {frame:g}, is not that of a frame')
            frames[frame] = joints
    if not frames:
        raise ValueError('it is empty')
    keypoints = np.array([frames[number] for number in sorted(frames)]).reshape(-1, 2, 15, 3).swapaxes(0, 1)
    return [dict(name=f'{pair}_{action}_{take}', keypoints=keypoints * METRES, label=int(action) - 1, pair=pair)]
