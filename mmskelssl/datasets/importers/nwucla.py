"""Northwestern-UCLA's raw JSON files, one a sequence: ``{"file_name", "skeletons": [T][20][3], "label": 1..10}``."""
import glob
import hashlib
import json
import os.path as osp
import re

import numpy as np

from mmskelssl.datasets.importers.pyskl import subject_splits
from mmskelssl.datasets.store_writer import StoreWriter
from mmskelssl.errors import UserError

CLASSES = ['pick up with one hand', 'pick up with two hands', 'drop trash', 'walk around', 'sit down', 'stand up',
           'donning', 'doffing', 'throw', 'carry']
_NAME = re.compile(r'a(\d+)_s(\d+)_e(\d+)_v(\d+)')


def import_nwucla(path: str, writer: StoreWriter) -> None:
    """Sequences of a folder.

    Splits: ``train`` (cameras 1 and 2), ``test`` (camera 3); of the latter ``test_twins`` has exactly the coordinates
    of a training sequence (the published files do, 95 times) and ``test_clean`` does not; ``xsub_train`` and
    ``xsub_test`` are the odd and the even subjects.
    """
    files = sorted(glob.glob(osp.join(glob.escape(path), '**', '*.json'), recursive=True))
    if not files:
        raise UserError(f'{path}: no .json files in it')
    writer.index['classes'] = CLASSES
    content, camera = {}, {}
    for file in files:
        name = osp.splitext(osp.basename(file))[0]
        match = _NAME.fullmatch(name)
        try:
            if not match:
                raise ValueError('the name is not aXX_sXX_eXX_vXX.json')
            with open(file, encoding='utf-8') as stream:
                data = json.load(stream)
            frames = np.asarray(data['skeletons'], np.float32)
            if frames.ndim != 3:
                raise ValueError(f'skeletons have shape {frames.shape}, expected (T, 20, 3)')
            label = int(data['label']) - 1
            if not 0 <= label < len(CLASSES):
                raise ValueError(f'label {data["label"]} is outside 1..{len(CLASSES)}')
            writer.add(name, frames[None], label, int(match[2]), camera=int(match[4]))
        except KeyError as error:
            writer.skip(name, f'no key {error}')
            continue
        except (OSError, TypeError, ValueError, RecursionError) as error:
            writer.skip(name, str(error).removeprefix(f'sample {name}: '))
            continue
        content[name], camera[name] = hashlib.sha256(frames.tobytes()).digest(), int(match[4])
    train = [name for name in content if camera[name] < 3]
    test = [name for name in content if camera[name] == 3]
    known = {content[name] for name in train}
    writer.set_split('train', train)
    writer.set_split('test', test)
    writer.set_split('test_clean', [name for name in test if content[name] not in known])
    writer.set_split('test_twins', [name for name in test if content[name] in known])
    subject_splits(writer)
