"""Spatial graph convolution."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.ops.batch_norm import fold
from mmskelssl.tracing import exporting


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
    """Compute :func:`plain_graph_conv` with neighbours gathered before the convolution; channels are last in memory.

    The order does not change the result. It moves only a third as much data as the published order, because every
    block keeps or increases the width of its input.
    """
    if exporting():  # the strides below would become conditions on the length
        return plain_graph_conv(x, adjacency, weight, bias, norm)
    (b, c, t, v), k = x.shape, len(adjacency)
    gather = adjacency.permute(2, 0, 1).reshape(v * k, v)  # row (w, k), column v
    nodes = x.permute(0, 2, 3, 1).reshape(b * t, v, c)
    gathered = torch.bmm(gather.expand(b * t, -1, -1).to(nodes.dtype), nodes)
    gathered = gathered.view(b, t, v, k * c).permute(0, 3, 1, 2)
    weight = weight.view(k, -1, c).transpose(0, 1).reshape(-1, k * c, 1, 1)
    # The bias of slice k contributes to joint w with the slice's column sum as weight.
    bias = adjacency.sum(1).t() @ bias.view(k, -1)
    if norm is not None:
        weight, bias = fold(weight, bias, norm)
    out = F.conv2d(gathered, weight)
    # Treat a frame as one row of V * C numbers and add the bias as a row: several times faster than over four axes.
    rows = out.permute(0, 2, 3, 1).reshape(b * t, -1) + bias.to(out.dtype).flatten()
    return rows.view(b, t, v, -1).permute(0, 3, 1, 2)
