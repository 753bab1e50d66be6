"""Converts the histories and arrays of mmengine's checkpoints to plain data and back.

mmengine pickles ``HistoryBuffer`` objects together with their bound methods. Such a file therefore names
``builtins.getattr`` and numpy's reconstructors. Allowing the real functions would let a crafted file call anything.
:data:`STAND_INS` only store their arguments, and :func:`restore` turns them into arrays and numbers afterwards.
"""
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmskelssl import plain_pickle
from mmskelssl.plain_pickle import Array, Dtype, Scalar, StandIn


class History(StandIn):
    """``HistoryBuffer``: two arrays and a length. The methods in its state are ignored."""
    state = None

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.state = state

    def real(self) -> HistoryBuffer:
        if not isinstance(self.state, dict):
            raise ValueError('a history without data')
        return _history(*(self.state.get(key) for key in ('_log_history', '_count_history', 'max_length')))


def _history(log, count, length) -> HistoryBuffer:
    """Build a HistoryBuffer from two vectors of equal length, given as arrays, tensors or stand-ins."""
    log, count = (part.real() if isinstance(part, Array) else part for part in (log, count))
    log, count = (part.cpu().numpy() if isinstance(part, torch.Tensor) else part for part in (log, count))
    vectors = all(isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in 'iuf' for part in (log, count))
    if not vectors or len(log) != len(count) or type(length) is not int or not 0 < length < 1 << 40:
        raise ValueError('a history that is not two vectors of one size and a length')
    return HistoryBuffer(log.astype(np.float64), count.astype(np.int64), length)


def nothing(*_):
    """Stand in for a function whose result is not needed."""
    return None


# For torch's own unpickler, by the names that it looks up.
STAND_INS: list[Callable | tuple[Callable, str]] = [
    (History, 'mmengine.logging.history_buffer.HistoryBuffer'), (nothing, 'builtins.getattr'),
    (plain_pickle.empty_bytes, 'builtins.bytes'), (Array, 'numpy.ndarray'), (Dtype, 'numpy.dtype'),
    *((stand_in, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
      for stand_in, name in ((plain_pickle.new_array, '_reconstruct'), (Scalar, 'scalar')))]

_PLAIN_HISTORY = {'_history', '_count', 'max_length'}


def restore(value):
    """Replace stand-ins and plain histories with the real objects, see plain_pickle.restore."""
    return plain_pickle.restore(value, _to_history)


def _to_history(value: dict):
    plain = set(value) == _PLAIN_HISTORY
    return _history(value['_history'], value['_count'], value['max_length']) if plain else value


def to_plain(value, path: str = '', dropped: list[str] | None = None):
    """Copy ``value`` with only plain containers, numbers, strings and tensors, which the strictest reader accepts.

    Args:
        value: Any value. Histories, numpy arrays and numpy numbers are converted.
        path: Path of ``value``, for messages.
        dropped: Collects the paths of values without a plain form, which become None.

    Raises:
        TypeError: If a value has no plain form and ``dropped`` is None.
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes, torch.Size):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic):
        return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
    if isinstance(value, np.generic) and value.dtype.kind in 'biuf':
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(np.array(value))
    if isinstance(value, HistoryBuffer):
        log, count = value.data
        return dict(_history=torch.as_tensor(np.array(log, np.float64)),
                    _count=torch.as_tensor(np.array(count, np.int64)), max_length=int(value.max_length))
    if isinstance(value, dict):
        made: dict = OrderedDict() if isinstance(value, OrderedDict) else {}
        made.update((to_plain(k, path, dropped), to_plain(v, f'{path}.{k}', dropped)) for k, v in value.items())
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [to_plain(v, f'{path}[{i}]', dropped) for i, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if dropped is None:
        raise TypeError(f'{path or "value"}: {type(value).__name__} has no plain form')
    dropped.append(f'{path} ({type(value).__name__})')
    return None
