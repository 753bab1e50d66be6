"""UAV-Human's skeletons: text files in the format of NTU RGB+D, with COCO's 17 joints."""
import re

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.ntu import in_file_order, parse_skeleton
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

NAME = re.compile(r'P(\d{3})S\d+G\d+B\d+H\d+UC\d+LC\d+A(\d{3})R(\d+)_\d+')
CLASSES, SUBJECTS = 155, 119
# Test subjects of the authors' two protocols; all others train.
TEST = dict(
    csv1=(1, 3, 4, 9, 22, 23, 24, 31, 41, 54, 58, 60, 66, 72, 74, 75, 91, 92, 93, 94, 95, 96, 97, 99, 101, 104, 107,
          108, 109, 113),
    csv2=(1, 2, 7, 9, 13, 15, 17, 23, 25, 27, 28, 33, 34, 41, 42, 48, 50, 51, 53, 55, 58, 65, 68, 76, 82, 85, 90, 98,
          105, 116))


def import_uavhuman(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of UAV-Human's text files (P000S00G10..A000R0_08241716.txt); splits csv1 and csv2.

    The 17 joints are those of COCO, in the units of the files. The first two bodies of each frame are kept.
    """
    source = Source(path)
    names = [name for name in source.files('.txt') if NAME.fullmatch(stem(name))]
    if not names:
        raise UserError(f'{path}: no text files named like P000S00G10B10H10UC022000LC021000A000R0_08241716.txt')
    writer.describe('coco17', 3, 'unknown', third='depth')
    writer.index['classes'] = [f'A{action:03d}' for action in range(CLASSES)]
    import_files(source, names, read_file, writer, jobs)
    for protocol, test in TEST.items():
        for split, wanted in (('train', False), ('test', True)):
            writer.set_split(f'{protocol}_{split}', [sample['id'] for sample in writer.samples
                                                     if (sample['subject'] in test) == wanted])


def read_file(name: str, data: bytes) -> list[dict]:
    """Return the sample of a file. The ValueError for a damaged file names the line."""
    match = NAME.fullmatch(stem(name))
    if not match:
        raise ValueError('its name is not that of a UAV-Human file')
    subject, action, replication = map(int, match.groups())
    if action >= CLASSES or subject >= SUBJECTS:
        raise ValueError(f'subject {subject} and action {action}, expected 0..{SUBJECTS - 1} and 0..{CLASSES - 1}')
    keypoints = in_file_order(parse_skeleton(plain_nan(text_of(data)), 17))
    return [dict(name=stem(name), keypoints=keypoints, label=action, subject=subject, replication=replication)]
