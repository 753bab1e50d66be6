"""Reads the numbers of a long text, many at once."""
from dataclasses import dataclass

import numpy as np

# Longest number and largest number of digits that are read at once: both the digits as an integer and the power of ten
# by which it is divided are then exact in float64, so the quotient is rounded as float() rounds. Others are rare.
_LONGEST, _DIGITS, _BLOCK = 20, 15, 1 << 14
_POWERS = 10. ** np.arange(_LONGEST)


@dataclass(frozen=True)
class Words:
    """The words of a text, as ``str.split`` finds them: ``data[starts[i]:stops[i]]``, in UTF-8."""
    data: bytes
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def words_of(text: str) -> Words:
    """Find the words of a text."""
    data = (text if text.isascii() else ' '.join(text.split())).encode()
    codes = np.frombuffer(b' %s ' % data, np.uint8)
    space = (codes == 32) | (codes - np.uint8(9) < 5) | (codes - np.uint8(28) < 4)  # as str.isspace
    edges = np.flatnonzero(space[1:] != space[:-1])
    return Words(data, edges[::2], edges[1::2])


def floats(words: Words) -> np.ndarray:
    """Return ``float(word)`` of all words, (len(words),) float64.

    Raises:
        ValueError: The message of ``float`` for the first word that is not a number.
    """
    made = np.empty(len(words))
    codes = np.frombuffer(words.data, np.uint8)
    for i in range(0, len(words), _BLOCK):
        block = slice(i, i + _BLOCK)
        starts, stops = words.starts[block], words.stops[block]
        made[block], plain = _decimals(codes, starts, stops)
        for j in np.flatnonzero(~plain):
            made[i + j] = float(words.data[starts[j]:stops[j]].decode())
    return made


def _decimals(codes: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read words of digits, with at most one point and one sign. The second result tells which words are such."""
    lengths = stops - starts
    longest = min(int(lengths.max()), _LONGEST)
    value, digits, points, places = (np.zeros(len(starts), dtype) for dtype in (float, np.uint8, np.uint8, np.uint8))
    for place in range(longest - 1, -1, -1):  # from the last character, so that decimals have a fixed place
        code = codes[np.maximum(stops - 1 - place, starts)]
        inside = place < lengths
        digit, point = code - np.uint8(ord('0')), (code == ord('.')) & inside
        number = (digit < 10) & inside
        value = np.where(point, value, value * 10 + digit * number)
        digits += number
        points += point
        places[point] = place
    first = codes[starts]
    signed = (first == ord('-')) | (first == ord('+'))
    plain = (digits + points + signed == lengths) & (points < 2) & (digits > 0) & (digits <= _DIGITS)
    value /= _POWERS[places]
    return np.where(first == ord('-'), -value, value), plain
