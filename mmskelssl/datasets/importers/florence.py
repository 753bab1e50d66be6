"""Florence 3D Actions: ``Florence_dataset_WorldCoordinates.txt``, rows of video, actor, category, 15 joints."""
import numpy as np

from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.importers.text import plain_nan
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['wave', 'drink from a bottle', 'answer phone', 'clap', 'tight lace', 'sit down', 'stand up', 'read watch',
           'bow']


def import_florence(path: str, writer: StoreWriter) -> None:
    """Florence 3D Actions' file of world coordinates, or its folder; splits xsub.

    Coordinates are millimetres in the file and metres here. Odd actors train, even ones test.
    """
    source = Source(path)
    files = [name for name in source.files('.txt') if name == '.' or 'worldcoordinates' in stem(name).lower()]
    if len(files) != 1:
        raise UserError(f'{path}: {len(files)} files named Florence_dataset_WorldCoordinates.txt; it needs exactly one')
    writer.describe('florence15')
    writer.index['classes'] = CLASSES
    frames: dict = {}
    called = source.called(files[0])
    for number, line in enumerate(plain_nan(source.text(files[0])).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            video, actor, category = (int(word) for word in words[:3])
            values = [float(word) for word in words[3:]]
        except ValueError as error:
            raise UserError(f'{called}, line {number}: {str(error)[:80]}') from None
        if len(values) != 45:
            raise UserError(f'{called}, line {number}: {len(values)} coordinates, expected 15 joints (45)')
        frames.setdefault((video, actor, category), []).append(values)
    for (video, actor, category), rows in frames.items():
        known = 1 <= category <= len(CLASSES)
        add_or_skip(writer, f'v{video:03d}_s{actor:02d}_a{category}', label=category - 1 if known else None,
                    keypoints=np.reshape(rows, (1, -1, 15, 3)) / 1000, subject=actor,
                    reason='' if known else f'category {category} is outside 1..{len(CLASSES)}')
    odd_even_subjects(writer)
