"""Pickles of arrays and plain containers, read without running anything."""
import os.path as osp
import pickle
from collections import OrderedDict

import numpy as np

from mmskelssl.errors import UserError

_multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray


def _encode(text: str, encoding: str) -> bytes:
    """Stand-in for codecs.encode: old numpy pickles turn text into bytes with it; other codecs can run code."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'codec {encoding!r}')
    return text.encode('latin-1')


def _dtype(*args) -> np.dtype:
    """Stand-in for numpy.dtype: arrays of numbers and text, none of Python objects."""
    dtype = np.dtype(*args)
    if dtype.hasobject:
        raise pickle.UnpicklingError('it holds an array of Python objects')
    return dtype


_ALLOWED = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _encode,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): _dtype,
    **{(f'numpy.{core}.multiarray', name): getattr(_multiarray, name)
       for core in ('core', '_core') for name in ('_reconstruct', 'scalar')},
    **{(f'numpy.{core}.numeric', '_frombuffer'): np._core.numeric._frombuffer if hasattr(np, '_core')
       else np.core.numeric._frombuffer for core in ('core', '_core')},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f'it wants {module!r} {name!r}') from None

    def persistent_load(self, pid):
        raise pickle.UnpicklingError('it refers to objects outside the file')


def load_pickle(path: str):
    """Content of a pickle made of numpy arrays, numbers, text and containers; refuses any other without running it."""
    if osp.exists(path) and not osp.isfile(path):
        raise UserError(f'{path} is no regular file')
    try:
        with open(path, 'rb') as file:
            return _ArraysOnly(file).load()
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except Exception as error:  # a hostile stream can raise anything
        raise UserError(f'{path} is refused: {type(error).__name__}: {error}; only pickles of numpy arrays and plain '
                        'containers are read') from error
