"""Arrays of npy and npz files of other people."""
import io
import os
import zipfile
from collections.abc import Callable, Container
from functools import partial
from typing import Literal

import numpy as np

MAX_UNPACKED = 2 << 30  # bytes
MAX_CLIPS = 1 << 21  # clips in one file; each takes some hundred bytes of memory, even if it is empty


def is_zip(path: str) -> bool:
    """Return whether a file ends like a zip archive. Python's function raises an error for some damaged ones."""
    try:
        return zipfile.is_zipfile(path)
    except (OSError, zipfile.BadZipFile):
        return False


def sized(array: np.ndarray) -> np.ndarray:
    """Return an array whose elements take space in its file.

    A header of 128 bytes can claim any number of elements of an empty type, such as ``U0`` or ``V0``. NumPy needs no
    memory for such an array, but whoever converts it to a list does.

    Raises:
        ValueError: If the elements have no size.
    """
    if array.size and not array.dtype.itemsize:
        raise ValueError(f'an array of {array.size} elements of the empty type {array.dtype.str}')
    return array


def loaded(load: Callable[[], np.ndarray], key: str = '') -> np.ndarray:
    """Return the array that ``load`` reads, see :func:`sized`. A ValueError says what to do about pickled arrays."""
    try:
        return sized(load())
    except Exception as error:  # NumPy's parser of headers raises errors of several kinds
        if not isinstance(error, ValueError):
            raise ValueError(f'{key}{": " if key else ""}not an array ({error})') from error
        if 'Object arrays' not in str(error):
            raise
        raise ValueError(f'{key}{": " if key else ""}Object array, a pickle, which is not read; clips that differ '
                         'in length go under a key each: np.savez(FILE, **{NAME: CLIP, ...})') from None


def read_npz(data: bytes, keys: Container[str] | None = None, most: int = MAX_UNPACKED) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file, or those of some names. Pickled arrays are refused.

    Raises:
        ValueError: If it is not an npz file, or would unpack to more than ``most`` bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist()
                       if keys is None or entry.filename.removesuffix('.npy') in keys)
        if size > most:
            raise ValueError(f'it would unpack to {size >> 20} MiB')
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {key: loaded(partial(arrays.__getitem__, key), key) for key in arrays.files
                    if keys is None or key in keys}
    except ValueError:
        raise
    except Exception as error:  # zip, zlib, lzma and NumPy's parser of headers raise errors of their own
        raise ValueError(f'not an .npz file ({" ".join(str(error).split()) or type(error).__name__})') from error


def map_array(file, dtype, mode: Literal['r', 'r+'] = 'r') -> np.memmap:
    """Map the array of an open npy file. It must have this type and exactly the length stated in its header.

    ``S`` stands for bytes of any width.

    Raises:
        ValueError: If the file is something else. NumPy's parser of headers raises errors of other kinds, too.
    """
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, found = header(file)
    size = int(np.prod(shape, dtype=object)) * found.itemsize
    fits = found.kind == 'S' and found.itemsize if np.dtype(dtype) == 'S' else found == dtype
    if not fits or fortran or file.tell() + size != os.fstat(file.fileno()).st_size:
        raise ValueError(f'unexpected array of {found} with shape {shape}')
    return np.memmap(file, found, mode, file.tell(), shape)
