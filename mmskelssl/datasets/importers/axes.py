"""Identifies the axes of an array: persons, frames and clips. Ambiguous arrays need the user's choice."""
import re

import numpy as np

from mmskelssl.npz import MAX_CLIPS

MOST_PERSONS = 2  # more persons need --axes, because several clips have the same shape
_ORDERS = ('TVC', 'MTVC', 'NTVC', 'TMVC', 'NMTVC', 'NTMVC', 'NCTVM', 'NCTV', 'CTVM', 'CTV', 'TCV', 'VTC')


def check_axes(axes: str | None) -> None:
    """Raise a ValueError for an invalid order of axes."""
    if axes and not (re.fullmatch('[NMTVC]+', axes) and len(set(axes)) == len(axes) and set('TVC') <= set(axes)):
        raise ValueError(f'--axes {axes}: the letters T (frames), V (joints), C (coordinates), perhaps M (persons) and '
                         'N (clips), each once, in the order of the axes')


def clips_of(array: np.ndarray, joints: int, axes: str | None = None, what: str = '') -> list[np.ndarray]:
    """Return the clips (M, T, V, C) of an array.

    Without ``axes`` an array is (T, V, C), (T, V * C), or (M, T, V, C) of at most two persons and no more persons than
    frames.

    Args:
        array: Of numbers.
        joints: V.
        axes: Order of the axes, such as ``NTVC``.
        what: Description of the array, for messages.

    Raises:
        ValueError: Its shape is none of these. The message lists the candidates and the option that selects one.
    """
    array = np.asarray(array)
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'an array of {array.dtype}, not of numbers')
    flat = array.ndim in (2, 3) and array.shape[-1] in (2 * joints, 3 * joints, 4 * joints)
    if flat and array.ndim == 2 and not axes:  # one row per frame, as in a table
        array = array.reshape(len(array), joints, -1)
    fitting = [order for order in _ORDERS if _fits(array, order, joints)]
    if axes:
        if not _fits(array, axes, joints):
            raise ValueError(f'shape {array.shape} is not {axes} of {joints} joints'
                             + (f'; it could be {" or ".join(fitting)}' if fitting else ''))
        order = axes
    elif array.ndim == 3 and 'TVC' in fitting:
        order = 'TVC'
    elif array.ndim == 4 and 'MTVC' in fitting and array.shape[0] <= MOST_PERSONS and array.shape[0] <= max(
            1, array.shape[1]):
        order = 'MTVC'
    elif fitting and array.ndim > 3:
        raise ValueError(f'{what}shape {array.shape} could be {_said(array.shape, fitting)}: choose with --axes '
                         f'{" or ".join(fitting)} (N clips, M persons, T frames, V joints, C coordinates)')
    else:
        if flat:
            wanted = (*array.shape[:-1], joints, array.shape[-1] // joints)
            raise ValueError(f'{what}shape {array.shape}: the last axis holds all numbers of {joints} joints; reshape '
                             f'the array to {wanted}')
        raise ValueError(f'{what}shape {array.shape}, expected (T, {joints}, C) or (M, T, {joints}, C) with C = 2, 3 '
                         f'or 4: choose the layout of the data' + (f', or --axes {" or ".join(fitting)}' if fitting
                                                                   else ''))
    array = np.moveaxis(array, [order.index(axis) for axis in 'NMTVC' if axis in order], range(array.ndim))
    if 'N' in order and len(array) > MAX_CLIPS:
        raise ValueError(f'{what}{len(array)} clips; at most {MAX_CLIPS} are read from one file')
    if 'M' not in order:
        array = np.expand_dims(array, 'N' in order)
    return list(array) if 'N' in order else [array]


def _fits(array: np.ndarray, order: str, joints: int) -> bool:
    return (len(order) == array.ndim and array.shape[order.index('V')] == joints
            and 2 <= array.shape[order.index('C')] <= 4
            and ('M' not in order or order[0] == 'M' or array.shape[order.index('M')] <= 6))


def _said(shape: tuple, orders: list[str]) -> str:
    words = dict(N='clips', M='persons', T='frames')
    return ' or '.join(' of '.join(f'{shape[order.index(axis)]} {words[axis]}' for axis in 'NMT' if axis in order)
                       for order in orders)


def drop_padding(clip: np.ndarray) -> np.ndarray:
    """Remove zero padding: frames after the last one with a person, and persons who never appear."""
    seen = np.asarray(np.asarray(clip).any((2, 3)))
    if not seen.any():
        return clip[:1, :1]  # kept for verify to report
    return clip[seen.any(1)][:, :int(np.flatnonzero(seen.any(0))[-1]) + 1]
