"""Tell where code may depend on the values of tensors: not in a trace, and on devices only at the cost of waiting."""
import torch
from torch import Tensor


def exporting() -> bool:
    """Return whether a model is being traced by ``torch.export``, and not for ``torch.compile``."""
    known = getattr(torch.compiler, 'is_exporting', None)  # since PyTorch 2.7
    return known() if known else torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()


def reads_values(x: Tensor) -> bool:
    """Return whether the sizes of results may depend on the values of ``x``, for example to skip absent persons.

    On a device, the host would have to wait for the values. A trace, or a CUDA graph, needs fixed sizes.
    """
    return x.device.type == 'cpu' and not torch.compiler.is_compiling() and not exporting()
