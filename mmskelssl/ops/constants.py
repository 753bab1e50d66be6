"""Tensors that depend on plain values only, such as the joints of a layout."""
import functools
from collections.abc import Callable

import torch
from torch import Tensor

_made: dict[tuple, Tensor] = {}  # a plain dict, which compiled code can look up, unlike functools.lru_cache
_MOST = 256


def constant(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate a function of plain values and a device that returns a tensor, to call it once for the same arguments.

    A step on a device then copies nothing from the host.
    """
    name = f'{function.__module__}.{function.__name__}'

    @functools.wraps(function)
    def cached(*args) -> Tensor:
        key = (name, *args)
        if key not in _made:
            if len(_made) >= _MOST:
                _made.clear()
            with torch.inference_mode(False):  # autograd may need it later
                _made[key] = function(*args)
        return _made[key]
    return cached
