"""Northwestern-UCLA's raw JSON files, one per sequence: ``{"file_name", "skeletons": [T][20][3], "label": 1..10}``."""
import hashlib
import re

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.pose.values import numbers, parse
from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['pick up with one hand', 'pick up with two hands', 'drop trash', 'walk around', 'sit down', 'stand up',
           'donning', 'doffing', 'throw', 'carry']
_NAME = re.compile(r'a(\d+)_s(\d+)_e(\d+)_v(\d+)')


def import_nwucla(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of NW-UCLA's raw JSON files; splits train, test, test_clean, test_twins, xsub.

    ``train`` has cameras 1 and 2, ``test`` camera 3. ``test_twins`` are the test sequences with exactly the coordinates
    of a training sequence (95 in the published files), and ``test_clean`` are the others. In the published files these
    are 369 clips of 8 of 10 classes (without a02 and a03), which cannot be compared with ``test``. ``xsub_train`` and
    ``xsub_test`` are the odd and the even subjects.
    """
    source = Source(path)
    files = source.files('.json')
    if not files:
        raise UserError(f'{path}: no .json files in it')
    writer.describe('kinect20')
    writer.index['classes'] = CLASSES
    import_files(source, files, read_json, writer, jobs)
    train = [sample for sample in writer.samples if sample['camera'] < 3]
    test = [sample for sample in writer.samples if sample['camera'] == 3]
    known = {sample['content'] for sample in train}
    writer.set_split('train', (s['id'] for s in train))
    writer.set_split('test', (s['id'] for s in test))
    writer.set_split('test_clean', (s['id'] for s in test if s['content'] not in known))
    writer.set_split('test_twins', (s['id'] for s in test if s['content'] in known))
    odd_even_subjects(writer)


def read_json(name: str, data: bytes) -> list[dict]:
    """Return the sample of a file. ``content`` is a hash of its coordinates."""
    match = _NAME.fullmatch(stem(name))
    if not match:
        raise ValueError('the name is not aXX_sXX_eXX_vXX.json')
    content = parse(data)
    missing = [key for key in ('skeletons', 'label') if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f'no key {missing[0]!r}')
    frames = numbers(content['skeletons'], 'skeletons').astype(np.float32)
    if frames.ndim != 3:
        raise ValueError(f'skeletons have shape {frames.shape}, expected (T, 20, 3)')
    label = content['label']
    if type(label) not in (int, float) or label not in range(1, len(CLASSES) + 1):
        raise ValueError(f'label {str(label)[:40]} is not one of 1..{len(CLASSES)}')
    label = int(label) - 1
    return [dict(name=stem(name), keypoints=frames[None], label=label, subject=int(match[2]), camera=int(match[4]),
                 content=hashlib.sha256(frames.tobytes()).hexdigest()[:16])]
