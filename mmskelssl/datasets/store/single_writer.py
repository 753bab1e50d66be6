"""Writes a store of one array (version 2)."""
import json
import os.path as osp
import shutil
from typing import BinaryIO

import numpy as np

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.store.array_files import npy_file, raw_file
from mmskelssl.datasets.store.columns import write_columns
from mmskelssl.datasets.store.schema import read_index

SINGLE = 2  # version
_BLOCK = 1 << 18  # numbers


def write_single(folder: str, frames: BinaryIO, index: dict, shape: tuple[int, int, int], scored: bool) -> None:
    """Write frames, scores, ``index.json`` and ``index.npz``.

    Args:
        folder: Existing folder of the store.
        frames: Frames of all samples, float32, each row with its coordinates or (V, C + 1) with the scores last.
        index: Content of ``index.json``; hashes are added.
        shape: (rows, V, C).
        scored: Whether there are scores.
    """
    file, numbers = osp.join(folder, 'keypoints.npy'), np.dtype('<f4')
    with npy_file(file, numbers, shape) as out:
        if not scored:
            shutil.copyfileobj(frames, out, 1 << 20)
        else:
            with npy_file(osp.join(folder, 'scores.npy'), numbers, shape[:2]) as scores:
                width = shape[1] * (shape[2] + 1)
                while len(part := np.fromfile(frames, '<f4', _BLOCK // width * width or width)):
                    part = part.reshape(-1, shape[2] + 1)
                    out.write(part[:, :-1].tobytes())
                    scores.write(part[:, -1].tobytes())
    if scored:
        index['scores_sha256'] = file_hash(osp.join(folder, 'scores.npy'))
    index.update(version=SINGLE, sha256=file_hash(file))
    with raw_file(osp.join(folder, 'index.json')) as out:
        out.write(json.dumps(index).encode())
    # Read the index back, so that only valid indexes are stored.
    write_columns(folder, read_index(osp.join(folder, 'index.json')))
