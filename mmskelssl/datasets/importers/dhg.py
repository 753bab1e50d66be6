"""DHG-14/28 and SHREC'17 hand gestures: a text file of 22 joints for each recording."""
import re
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, text_of
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['grab', 'tap', 'expand', 'pinch', 'rotate clockwise', 'rotate counterclockwise', 'swipe right', 'swipe left',
           'swipe up', 'swipe down', 'swipe x', 'swipe +', 'swipe v', 'shake']
JOINTS = 22
_NAME = re.compile(r'(?:.*/)?gesture_(\d+)/finger_([12])/subject_(\d+)/essai_(\d+)/skeletons?_world\.txt')
_RANGES = 'informations_troncage_sequences.txt'  # of DHG
_LISTS = dict(train='train_gestures.txt', test='test_gestures.txt')  # of SHREC'17
Key = tuple[int, ...]


def import_dhg(path: str, writer: StoreWriter, *,
               fingers: Annotated[bool, '28 classes: each gesture with one finger, and with the whole hand'] = False,
               jobs: Jobs = None) -> None:
    """Folder or zip of DHG-14/28 or SHREC'17 (gesture_1/finger_1/subject_1/essai_1/skeleton_world.txt ...).

    Coordinates are those of the files, in metres. DHG's recordings are cut to the frames that its list of sequences
    names; splits xsub, odd and even subjects. SHREC'17 has splits train and test, from its own lists.
    """
    source = Source(path)
    files = [name for name in source.files('.txt') if _NAME.fullmatch(name)]
    if not files:
        raise UserError(f'{path}: no files named gesture_1/finger_1/subject_1/essai_1/skeleton_world.txt and so on')
    ranges = {row[:4]: row[4:] for row in _rows(source, _RANGES, 6)}
    writer.describe('shrec22', 3, 'm', third='depth')
    writer.index['classes'] = [f'{name}, {part}' for name in CLASSES for part in ('one finger', 'whole hand')] \
        if fingers else CLASSES
    import_files(source, files, partial(read_gesture, ranges=ranges, fingers=fingers), writer, jobs)
    lists = {split: {row[:4] for row in _rows(source, name, 7)} for split, name in _LISTS.items()}
    if not any(lists.values()):
        odd_even_subjects(writer)
        return
    for split, keys in lists.items():
        writer.set_split(split, [sample['id'] for sample in writer.samples if _key_of(sample['id']) in keys])


def read_gesture(name: str, data: bytes, ranges: dict[Key, Key], fingers: bool = False) -> list[dict]:
    """Return the sample of a file with 66 numbers per line, cut to its range of frames if it has one."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError('its name is not one of DHG or SHREC')
    key = tuple(map(int, match.groups()))
    gesture, finger, subject, _ = key
    if not 1 <= gesture <= len(CLASSES):
        raise ValueError(f'gesture {gesture} is outside 1..{len(CLASSES)}')
    rows = []
    for number, line in enumerate(plain_nan(text_of(data)).splitlines(), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise ValueError(f'line {number}: not only numbers in it') from None
        if values:
            rows.append(values)
            if len(values) != 3 * JOINTS:
                raise ValueError(f'line {number}: {len(values)} coordinates, expected {3 * JOINTS}')
    if key in ranges:
        start, end = ranges[key]
        if not 0 <= start <= end < len(rows):
            raise ValueError(f'{_RANGES} names the frames {start} to {end} of {len(rows)}')
        rows = rows[start:end + 1]
    if not rows:
        raise ValueError('it is empty')
    label = 2 * (gesture - 1) + finger - 1 if fingers else gesture - 1
    return [dict(name='g{:02d}_f{}_s{:02d}_e{:02d}'.format(*key), keypoints=np.reshape(rows, (1, -1, JOINTS, 3)),
                 label=label, subject=subject)]


def _key_of(name: str) -> Key:
    return tuple(map(int, re.findall(r'\d+', name)))


def _rows(source: Source, name: str, width: int) -> list[Key]:
    """Return the rows of a list of the data set; none if there is no such file."""
    files = [file for file in source.files('.txt') if PurePosixPath(file).name == name]
    if len(files) > 1:
        raise UserError(f'{source.path}: {files[0]} and {files[1]}: import one data set at a time')
    rows = []
    for number, line in enumerate(source.text(files[0]).splitlines() if files else [], 1):
        words = line.split()
        if words and (len(words) != width or not all(word.isdecimal() and len(word) < 10 for word in words)):
            raise UserError(f'{files[0]}, line {number}: expected {width} numbers')
        if words:
            rows.append(tuple(map(int, words)))
    return rows
