"""Helpers for computing in full precision, outside autocast."""
import functools
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)


def widen(x):
    """Convert a half-precision tensor to float32. Return anything else unchanged."""
    return x.float() if isinstance(x, Tensor) and x.dtype in HALF else x


def computes_in_half(x: Tensor) -> bool:
    """Return whether a product with ``x`` is computed in half precision, because of its type or by autocast."""
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type) in HALF
    return x.dtype in HALF


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Return a context manager that disables autocast on the device of ``x``. Meta tensors have none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def full_precision(function):
    """Decorate a loss to run outside autocast, with half-precision arguments converted to float32."""
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        first = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        with without_autocast(first):
            return function(*map(widen, args), **{key: widen(value) for key, value in kwargs.items()})
    return wrapper
