"""Reads annotation pickles of numpy arrays and plain containers without executing code."""
import io
import os.path as osp
import pickle

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.plain_pickle import Array, Dtype, PlainUnpickler, restore

# Steps of a pickle inside an archive, which may be compressed: 200 bytes for each, in addition to the data.
MAX_STEPS = 1_000_000


def load_pickle(path: str):
    """Read a pickle of numpy arrays, numbers, text and containers. Others are refused and never executed.

    Memory is proportional to the file size, see :mod:`mmskelssl.plain_pickle`.
    """
    if osp.exists(path) and not osp.isfile(path):
        raise UserError(f'{path} is not a regular file')
    try:
        with open(path, 'rb') as file:
            return restore(PlainUnpickler(file).load())
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except Exception as error:  # a hostile stream can raise anything
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{path} is refused: {type(error).__name__}: {reason}; only pickles of numpy arrays and plain '
                        'containers are read') from error


def load_container(data: bytes):
    """The content of an .npy file of one pickled container, such as ``np.save(file, {...})`` writes.

    Raises:
        ValueError: It holds anything but arrays of numbers, text and plain containers, or is not such a file.
    """
    stream = io.BytesIO(data)
    try:
        major, _ = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if shape != () or dtype != np.dtype(object):
            raise pickle.UnpicklingError(f'it is an array of {dtype} and shape {shape}, not a pickled container')
        box = PlainUnpickler(stream, size=len(data), max_opcodes=MAX_STEPS).load()
        if isinstance(box, Array) and isinstance(box.state, tuple):
            _, shape, kind, _, content = box.state
            if isinstance(kind, Dtype) and kind.code.startswith('O') and shape == () and len(content) == 1:
                return restore(content[0])
        raise pickle.UnpicklingError('it is not an array of one container')
    except Exception as error:  # a hostile stream can raise anything
        reason = ' '.join(str(error).split())[:300]
        raise ValueError(f'refused: {type(error).__name__}: {reason}; only arrays and plain containers are read'
                         ) from None
