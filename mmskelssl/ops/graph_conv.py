"""Spatial graph convolution."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.ops.batch_norm import fold
from mmskelssl.ops.precision import computes_in_half, without_autocast
from mmskelssl.tracing import exporting

# The most entries of a matrix from all joints to all joints for which a product with it is the fastest way: at 25
# joints, 3 to 16 channels, and in half precision, whose products are faster, 32 to 32.
LARGEST, LARGEST_HALF = 40_000, 800_000


def plain_graph_conv(x: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor,
                     norm: nn.Module | None = None) -> Tensor:
    """Apply a 1x1 convolution to K slices, then sum over the neighbours: the published order (docs/methods.md 0.4).

    Args:
        x: (B, C, T, V).
        adjacency: (K, V, V).
        weight, bias: (K * C', C, 1, 1) and (K * C',).
        norm: Batch norm in eval mode that follows the convolution.

    Returns:
        (B, C', T, V).
    """
    slices = F.conv2d(x, weight, bias).unflatten(1, (len(adjacency), -1))
    out = torch.einsum('nkctv,kvw->nctw', slices, adjacency)
    return out if norm is None else norm(out)


def graph_conv(x: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor, norm: nn.Module | None = None) -> Tensor:
    """Compute :func:`plain_graph_conv` in another order; channels are last in memory.

    The order does not change the result. With few channels, one product with a matrix from all joints to all joints is
    fastest, although most of its entries are zero. Otherwise neighbours are gathered before the convolution. This moves
    only a third as much data as the published order, because every block keeps or increases the width of its input.
    """
    if exporting():  # the strides below would become conditions on the length
        return plain_graph_conv(x, adjacency, weight, bias, norm)
    (b, c, t, v), k = x.shape, len(adjacency)
    weight = weight.view(k, -1, c).transpose(0, 1)  # (C', K, C)
    # The bias of slice k contributes to joint w with the slice's column sum as weight.
    bias = adjacency.sum(1).t() @ bias.view(k, -1)  # (V, C')
    if norm is not None:
        weight, bias = fold(weight.unsqueeze(3), bias, norm)
        weight = weight.squeeze(3)
    frames = x.permute(0, 2, 3, 1)
    out = (_dense if _is_small(x, len(weight)) else _gathered)(frames, adjacency, weight, bias)
    return out.view(b, t, v, -1).permute(0, 3, 1, 2)


def _is_small(x: Tensor, out_channels: int) -> bool:
    """Return whether the matrix from all joints to all joints is small, both by itself and next to the batch."""
    (b, c, t, v), limit = x.shape, LARGEST_HALF if computes_in_half(x) else LARGEST
    return v * c * v * out_channels <= limit and v * out_channels <= b * t


def _dense(frames: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Multiply each frame of (B, T, V, C), as one row, by the matrix (V * C', V * C). Return rows (B * T, V * C')."""
    (b, t, v, c), k = frames.shape, len(adjacency)
    with without_autocast(frames):  # the sum over slices in full precision
        matrix = torch.mm(adjacency.flatten(1).t(), weight.transpose(0, 1).reshape(k, -1)).view(v, v, -1, c)
        matrix = matrix.permute(1, 2, 0, 3).reshape(-1, v * c)
    return F.linear(frames.reshape(b * t, -1), matrix, bias.flatten())


def _gathered(frames: Tensor, adjacency: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gather the neighbours of each joint of (B, T, V, C), then convolve. Return rows (B * T, V * C')."""
    (b, t, v, c), k = frames.shape, len(adjacency)
    gather = adjacency.permute(2, 0, 1).reshape(v * k, v)  # row (w, k), column v
    gathered = torch.bmm(gather.to(frames.dtype).expand(b * t, -1, -1), frames.reshape(b * t, v, c))
    out = F.conv2d(gathered.view(b, t, v, k * c).permute(0, 3, 1, 2), weight.reshape(-1, k * c, 1, 1))
    # Treat a frame as one row of V * C' numbers and add the bias as a row: several times faster than over four axes.
    rows, bias = out.permute(0, 2, 3, 1).reshape(b * t, -1), bias.to(out.dtype).flatten()
    return rows + bias if torch.is_grad_enabled() else rows.add_(bias)
