"""Numeric arrays of MATLAB 5 files (.mat), read strictly.

General readers trust the sizes and types that a file states, and a damaged file can crash the process (scipy's does).
Here every size is checked against the available bytes, and only arrays of real numbers are read. Source: MathWorks,
"MAT-File Format", chapter 1, level 5.
"""
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_NUMERIC = range(6, 16)  # array classes double to uint64; those below hold cells, structures, text or sparse arrays
_COMPLEX = 0x0800


@dataclass(frozen=True)
class Matrix:
    """A variable of a file.

    Args:
        name: Its name.
        shape: Its size along each axis, as stated.
        numeric: Whether it is an array of real numbers.
    """
    name: str
    shape: tuple[int, ...]
    numeric: bool
    _content: bytes
    _position: int
    _order: str

    def numbers(self) -> np.ndarray:
        """Return the values with :attr:`shape`. Raises a ValueError if the file has another number of values."""
        kind, content, _ = _element(self._content, self._position, self._order)
        if not self.numeric or kind not in _NUMBERS:
            raise ValueError(f'{self.name} is not an array of real numbers')
        dtype = np.dtype(self._order + _NUMBERS[kind])
        if len(content) != math.prod(self.shape) * dtype.itemsize:
            raise ValueError(f'{self.name} of shape {self.shape} has {len(content)} bytes at {dtype.itemsize} '
                             'per value')
        return np.frombuffer(content, dtype).reshape(self.shape, order='F')


def read_matrices(data: bytes, most: int) -> Iterator[Matrix]:
    """Yield the variables of a file.

    Args:
        data: Content of the file.
        most: Bytes that its compressed variables may unpack to.

    Raises:
        ValueError: It is not such a file, is damaged, or would unpack to more.
    """
    order = {b'IM': '<', b'MI': '>'}.get(data[126:128])
    if order is None:
        raise ValueError('no readable .mat file (it has no MATLAB 5 header)')
    position = 128
    while position < len(data):
        kind, content, position = _element(data, position, order, aligned=False)
        if kind == _COMPRESSED:
            content = _unpacked(content, most)
            most -= len(content)
            kind, content, _ = _element(content, 0, order)
        if kind == _MATRIX:
            yield _matrix(content, order)


def _unpacked(content: bytes, most: int) -> bytes:
    try:
        found = zlib.decompressobj().decompress(content, most + 1)
    except zlib.error as error:
        raise ValueError(f'no readable .mat file ({error})') from error
    if len(found) > most:
        raise ValueError(f'it would unpack to more than {most >> 20} MiB')
    return found


def _element(data: bytes, position: int, order: str, aligned: bool = True) -> tuple[int, bytes, int]:
    """Return (type, content, position of the next element). A small element has its content in its tag."""
    if position + 8 > len(data):
        raise ValueError('no readable .mat file (it ends too early)')
    kind, size = struct.unpack_from(f'{order}II', data, position)
    start, end = position + 8, position + 8 + size
    if kind >> 16:
        kind, size = kind & 0xffff, kind >> 16
        if size > 4:
            raise ValueError('no readable .mat file (a small element of more than 4 bytes)')
        start, end = position + 4, position + 4 + size
        return kind, data[start:end], position + 8
    if end > len(data):
        raise ValueError('no readable .mat file (it ends too early)')
    following = end + -size % 8 if aligned or kind != _COMPRESSED else end
    return kind, data[start:end], following


def _matrix(content: bytes, order: str) -> Matrix:
    kind, flags, position = _element(content, 0, order)
    if kind != 6 or len(flags) != 8:
        raise ValueError('no readable .mat file (an array without flags)')
    word = struct.unpack(f'{order}I', flags[:4])[0]
    kind, sizes, position = _element(content, position, order)
    if kind != 5 or not 8 <= len(sizes) <= 4 * 32 or len(sizes) % 4:
        raise ValueError('no readable .mat file (an array without sizes)')
    shape = struct.unpack(f'{order}{len(sizes) // 4}i', sizes)
    if min(shape) < 0:
        raise ValueError(f'no readable .mat file (an array of shape {shape})')
    _, name, position = _element(content, position, order)
    numeric = (word & 0xff) in _NUMERIC and not word & _COMPLEX
    return Matrix(name.decode('latin-1')[:64], shape, numeric, content, position, order)
