"""Annotation pickles: numpy arrays and plain containers, read without running anything."""
import os.path as osp

from mmskelssl.errors import UserError
from mmskelssl.plain_pickle import PlainUnpickler, restore


def load_pickle(path: str):
    """Content of a pickle made of numpy arrays, numbers, text and containers; refuses any other without running it.

    Reading takes memory in proportion to the file, see :mod:`mmskelssl.plain_pickle`.
    """
    if osp.exists(path) and not osp.isfile(path):
        raise UserError(f'{path} is no regular file')
    try:
        with open(path, 'rb') as file:
            return restore(PlainUnpickler(file).load())
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except Exception as error:  # a hostile stream can raise anything
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'{path} is refused: {type(error).__name__}: {reason}; only pickles of numpy arrays and plain '
                        'containers are read') from error
