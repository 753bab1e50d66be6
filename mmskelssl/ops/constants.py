"""Tensors that depend on plain values only, such as the joints of a layout."""
import functools
from collections.abc import Callable

import torch
from torch import Tensor


def constant(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate a function of plain values and a device that returns a tensor, to call it once for the same arguments.

    A step on a device then copies nothing from the host. Compiled code contains the tensor instead of the call.
    """
    made = functools.lru_cache(maxsize=64)(torch.inference_mode(False)(function))  # autograd may need it later

    def cached(*args) -> Tensor:
        return made(*args)
    # torch.compiler.assume_constant_result sets this, too, but imports the compiler, which takes a second.
    cached._dynamo_marked_constant = True  # type: ignore[attr-defined]
    cached.__doc__, cached.__name__ = function.__doc__, function.__name__
    return cached
