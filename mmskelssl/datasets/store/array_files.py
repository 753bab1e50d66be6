"""New files of arrays, which are on the disk when they are closed."""
import os
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np


@contextmanager
def raw_file(file: str) -> Iterator[BinaryIO]:
    """Create a file whose content the block writes. An existing file or link of this name is replaced."""
    if osp.lexists(file):
        os.remove(file)
    with open(file, 'xb') as out:
        yield out
        sync(out)


@contextmanager
def npy_file(file: str, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """Create an npy file, as :func:`raw_file`. The block writes the numbers."""
    with raw_file(file) as out:
        header = dict(descr=np.lib.format.dtype_to_descr(dtype), fortran_order=False, shape=shape)
        np.lib.format.write_array_header_2_0(out, header)
        yield out


def sync(file) -> None:
    """Write a file to the disk, so that it survives a power failure."""
    file.flush()
    os.fsync(file.fileno())
