"""Batch norm as a part of the convolution before it, in eval mode."""
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


def plain_conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module, convolve: Callable = F.conv2d) -> Tensor:
    """A convolution, then batch norm in eval mode.

    Args:
        x: (B, C, T, V).
        convolve: Function of x, weight and bias.
    """
    return norm(convolve(x, conv.weight, conv.bias))


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.Module, convolve: Callable = F.conv2d) -> Tensor:
    """:func:`plain_conv_norm` without the norm's own pass over memory."""
    return convolve(x, *fold(conv.weight, conv.bias, norm))


def fold(weight: Tensor, bias: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (C', ...) and bias (..., C') of a convolution that includes the batch norm after it."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return weight * scale.view(-1, 1, 1, 1), (bias - norm.running_mean) * scale + norm.bias


def can_fold(norm: nn.Module) -> bool:
    """Whether a layer is a batch norm with affine parameters and running statistics."""
    return isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.affine and norm.track_running_stats
