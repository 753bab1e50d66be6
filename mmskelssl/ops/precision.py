"""Computing outside autocast."""
import functools

import torch
from torch import Tensor


def widen(x):
    """A half-precision tensor in float32; anything else as it is."""
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16) else x


def without_autocast(x: Tensor) -> torch.autocast:
    """Context that switches autocast off on the device of ``x``."""
    return torch.autocast(x.device.type, enabled=False)


def full_precision(function):
    """Decorate a loss: it runs outside autocast, and its half-precision arguments are widened to float32."""
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        first = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        with without_autocast(first):
            return function(*map(widen, args), **{key: widen(value) for key, value in kwargs.items()})
    return wrapper
