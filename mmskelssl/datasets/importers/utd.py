"""UTD-MHAD's skeletons: ``a01_s1_t1_skeleton.mat``, a variable ``d_skel`` (20,3,T) in metres."""
import re

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.matlab import read_matrices
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError, printable

CLASSES = ['swipe left', 'swipe right', 'wave', 'clap', 'throw', 'cross arms', 'basketball shoot', 'draw X',
           'draw circle clockwise', 'draw circle counter-clockwise', 'draw triangle', 'bowling', 'boxing',
           'baseball swing', 'tennis swing', 'arm curl', 'tennis serve', 'push', 'knock', 'catch', 'pick up and throw',
           'jog', 'walk', 'sit to stand', 'stand to sit', 'lunge', 'squat']
ORDER = [3, 2, 1, 0, *range(4, 20)]  # the file's joint for each joint of kinect20
MAX_FRAMES = 100_000
MAX_UNPACKED = 64 << 20  # bytes of a file, more than MAX_FRAMES take
_NAME = re.compile(r'a(\d{1,2})_s(\d{1,2})_t(\d{1,2})_skeleton')


def import_utd(path: str, writer: StoreWriter, *, jobs: Jobs = None) -> None:
    """Folder or zip of UTD-MHAD's skeleton .mat files; splits standard (train, test) and xsub, which are the same.

    Odd subjects train and even ones test, as in the protocol of the data set's authors.
    """
    source = Source(path)
    files = source.files('.mat')
    if not files:
        raise UserError(f'{path}: no .mat files in it')
    writer.describe('kinect20')
    writer.index['classes'] = CLASSES
    import_files(source, files, read_mat, writer, jobs)
    odd_even_subjects(writer, '')
    odd_even_subjects(writer)


def read_mat(name: str, data: bytes) -> list[dict]:
    """Return the sample of a file."""
    match = _NAME.fullmatch(stem(name))
    if not match:
        raise ValueError('the name is not aX_sX_tX_skeleton.mat')
    if not 1 <= int(match[1]) <= len(CLASSES):
        raise ValueError(f'action {match[1]} is outside 1..{len(CLASSES)}')
    return [dict(name=stem(name).removesuffix('_skeleton'), keypoints=_frames(data)[None, :, ORDER],
                 label=int(match[1]) - 1, subject=int(match[2]))]


def _frames(data: bytes) -> np.ndarray:
    """Read (T,20,3)."""
    found = {}
    for matrix in read_matrices(data, MAX_UNPACKED):
        found[matrix.name] = matrix
        if matrix.name == 'd_skel':
            break
    else:
        raise ValueError(f'no variable d_skel; it has {printable(", ".join(sorted(found)))[:60] or "none"}')
    shape = matrix.shape + (1,) * (3 - len(matrix.shape))  # MATLAB drops the last axis of a single frame
    if len(shape) != 3 or shape[:2] != (20, 3) or not 0 < shape[2] <= MAX_FRAMES:
        raise ValueError(f'd_skel has shape {shape}, expected (20, 3, T)')
    return matrix.numbers().reshape(shape, order='F').transpose(2, 0, 1)
