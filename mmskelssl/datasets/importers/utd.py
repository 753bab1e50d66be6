"""UTD-MHAD's skeletons: ``a01_s1_t1_skeleton.mat``, a variable ``d_skel`` (20,3,T) in metres."""
import io
import re
import struct
import zlib

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.options import Jobs
from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.splits import odd_even_subjects
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

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

    Odd subjects train, even ones test, the protocol of the data set's authors.
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
    """Read (T,20,3). The shape is checked before unpacking, because a .mat file can be a zip bomb."""
    from scipy.io import loadmat, whosmat  # imported here: it takes half a second
    _check_unpacked(data)
    try:
        shapes = {name: shape for name, shape, _ in whosmat(io.BytesIO(data))}
    except Exception as error:  # scipy raises arbitrary errors for damaged files
        raise ValueError(f'no readable .mat file ({type(error).__name__})') from error
    if 'd_skel' not in shapes:
        raise ValueError(f'no variable d_skel; it has {", ".join(sorted(shapes))[:60] or "none"}')
    shape = tuple(shapes['d_skel']) + (1,) * (3 - len(shapes['d_skel']))  # MATLAB drops the last axis of a single frame
    if len(shape) != 3 or shape[:2] != (20, 3) or not 0 < shape[2] <= MAX_FRAMES:
        raise ValueError(f'd_skel has shape {shape}, expected (20, 3, T)')
    try:
        frames = np.asarray(loadmat(io.BytesIO(data), variable_names=['d_skel'])['d_skel'])
    except Exception as error:
        raise ValueError(f'd_skel cannot be read ({type(error).__name__})') from error
    if frames.dtype.kind not in 'fiu' or frames.size != np.prod(shape):
        raise ValueError(f'd_skel holds {frames.dtype}, expected numbers')
    return frames.reshape(shape).transpose(2, 0, 1)


def _check_unpacked(data: bytes) -> None:
    """Refuse a file whose compressed variables unpack to more than :data:`MAX_UNPACKED`.

    The shape of a variable does not bound its size: scipy reads as many bytes as the data announce.
    """
    position, left = 128, MAX_UNPACKED
    order = '>' if data[126:128] == b'MI' else '<'
    while position + 8 <= len(data):
        kind, size = struct.unpack(f'{order}II', data[position:position + 8])
        position += 8
        if kind == 15:  # miCOMPRESSED
            unpacker = zlib.decompressobj()
            try:
                part = unpacker.decompress(data[position:position + size], left + 1)
            except zlib.error as error:
                raise ValueError(f'no readable .mat file ({error})') from error
            left -= len(part)
        position += size
        if left < 0:
            raise ValueError(f'it would unpack to more than {MAX_UNPACKED >> 20} MiB')
