"""Inert stand-ins with which ``torch.load(weights_only=True)`` reads mmengine's own checkpoints.

mmengine pickles ``HistoryBuffer`` objects together with their bound methods, so such a file names
``builtins.getattr`` and numpy's reconstructors. Allowing the real ones would let a crafted file call what it likes.
These classes only keep what they are given; :func:`restore` turns them into arrays and numbers afterwards.
"""
from collections import OrderedDict

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# Kind and size only: no objects, no records, no strings.
_DTYPES = {f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8)} | {'f2', 'f4', 'f8', 'b1'}


class _Dtype:
    """``numpy.dtype('f8', False, True)``, then its state ``(version, byte order, ...)``."""

    def __init__(self, code='', *_):
        self.code, self.order = str(code), '='

    def __setstate__(self, state):
        self.order = str(state[1])

    def real(self) -> np.dtype:
        if self.code not in _DTYPES:
            raise ValueError(f'array of unsupported type {self.code!r}')
        return np.dtype(self.code).newbyteorder({'<': '<', '>': '>'}.get(self.order, '='))


class _Array:
    """``numpy.ndarray``: its state is ``(version, shape, dtype, Fortran order, bytes)``."""

    def __setstate__(self, state):
        _, self.shape, self.dtype, self.fortran, self.data = state

    def real(self) -> np.ndarray:
        flat = np.frombuffer(bytearray(self.data), self.dtype.real())
        return flat.reshape(self.shape, order='F' if self.fortran else 'C')


class _Scalar:
    def __init__(self, dtype, data=b''):
        self.dtype, self.data = dtype, data

    def real(self) -> int | float | bool:
        return np.frombuffer(self.data, self.dtype.real())[0].item()


class _History:
    """``HistoryBuffer``: two arrays and a length; the methods in its state are ignored."""

    def __setstate__(self, state):
        self.state = dict(state)

    def real(self) -> HistoryBuffer:
        log, count = (np.asarray(restore(self.state[key]), dtype) for key, dtype in
                      (('_log_history', np.float64), ('_count_history', np.int64)))
        return HistoryBuffer(log, count, int(self.state['max_length']))


def _new_array(*_):
    return _Array()


def _nothing(*_):
    return None


def _no_bytes(*_):
    return b''  # how pickle writes the bytes of an empty array


STAND_INS = [(_History, 'mmengine.logging.history_buffer.HistoryBuffer'), (_nothing, 'builtins.getattr'),
             (_no_bytes, 'builtins.bytes'),
             (_Array, 'numpy.ndarray'), (_Dtype, 'numpy.dtype'),
             *((stand_in, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
               for stand_in, name in ((_new_array, '_reconstruct'), (_Scalar, 'scalar')))]

_PLAIN_HISTORY = {'_history', '_count', 'max_length'}


def restore(value):
    """Replace stand-ins, and histories in their plain form, by what they stand for."""
    if isinstance(value, (_Array, _Scalar, _History)):
        return value.real()
    if isinstance(value, dict):
        if set(value) == _PLAIN_HISTORY:
            return HistoryBuffer(value['_history'].cpu().numpy(), value['_count'].cpu().numpy(), value['max_length'])
        for key, item in value.items():
            value[key] = restore(item)
        return value
    if isinstance(value, list):
        return [restore(item) for item in value]
    if type(value) is tuple:
        return tuple(restore(item) for item in value)
    return None if isinstance(value, _Dtype) else value


def to_plain(value, path: str = '', dropped: list[str] | None = None):
    """Copy ``value`` with plain containers, numbers, strings and tensors only, fit for the strictest reader.

    Args:
        value: Anything; histories, numpy arrays and numpy numbers are converted.
        path: Where ``value`` is, for messages.
        dropped: Collects the paths of what has no plain form; there it becomes None. Without it: TypeError.
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
        made = OrderedDict() if isinstance(value, OrderedDict) else {}
        made.update((to_plain(k, path, dropped), to_plain(v, f'{path}.{k}', dropped)) for k, v in value.items())
        return made
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [to_plain(v, f'{path}[{i}]', dropped) for i, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if dropped is None:
        raise TypeError(f'{path or "value"}: {type(value).__name__} has no plain form')
    dropped.append(f'{path} ({type(value).__name__})')
    return None
