"""Fold batch norm into the preceding convolution in eval mode."""
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def plain_conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module, convolve: Callable = F.conv2d) -> Tensor:
    """Apply a convolution followed by batch norm in eval mode.

    Args:
        x: (B, C, T, V).
        conv: Convolution that provides weight and bias.
        norm: Batch norm in eval mode.
        convolve: Function of x, weight and bias.
    """
    return norm(convolve(x, conv.weight, conv.bias))


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module, convolve: Callable = F.conv2d) -> Tensor:
    """Compute :func:`plain_conv_norm` without a separate pass over memory for the norm."""
    assert conv.bias is not None  # as the caller ensures
    return convolve(x, *fold(conv.weight, conv.bias, norm))


def fold(weight: Tensor, bias: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the weight (C', ...) and bias (..., C') of a convolution that includes the batch norm after it."""
    assert isinstance(norm, _BatchNorm) and norm.running_mean is not None and norm.running_var is not None  # can_fold
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return weight * scale.view(-1, 1, 1, 1), (bias - norm.running_mean) * scale + norm.bias


def can_fold(norm: nn.Module) -> bool:
    """Return whether a layer is a batch norm with affine parameters and running statistics."""
    return isinstance(norm, _BatchNorm) and norm.affine and norm.track_running_stats
