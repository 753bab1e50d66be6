"""A bidirectional GRU layer as one operator, which an exported model calls.

``torch.export`` would unroll a recurrence over the length of its example. As an operator, it takes clips of any length.
In ONNX it becomes the node GRU. A program that loads a model saved by ``torch.export`` imports this module first.
"""
import torch
from torch import Tensor, nn


@torch.library.custom_op('mmskelssl::gru_layer', mutates_args=())
def gru_layer(x: Tensor, lengths: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
    """Run one bidirectional layer. The states are zero beyond a row's length.

    Args:
        x: (N, T, F).
        lengths: (N,) int64.
        w, r, b: (2, 3H, F), (2, 3H, H) and (2, 6H) in ONNX's order: both directions, the gates z, r, n, and the biases
            of the input before those of the state.

    Returns:
        (N, T, 2H).
    """
    from mmskelssl.ops.grouped_gru import plain_gru
    layer = nn.GRU(x.shape[2], r.shape[2], batch_first=True, bidirectional=True, device=x.device, dtype=x.dtype)
    with torch.no_grad():
        for direction, suffix in enumerate(('', '_reverse')):
            inputs, states = b[direction].chunk(2)
            for name, value in (('weight_ih', w[direction]), ('weight_hh', r[direction]),
                                ('bias_ih', inputs), ('bias_hh', states)):
                getattr(layer, f'{name}_l0{suffix}').copy_(_swapped(value))
        return plain_gru(layer, x, lengths.cpu())


@gru_layer.register_fake
def _(x: Tensor, lengths: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], 2 * r.shape[2])


def _swapped(gates: Tensor) -> Tensor:
    """Exchange the first two of three gates: torch's order is r, z, n, and ONNX's is z, r, n."""
    first, second, third = gates.chunk(3)
    return torch.cat([second, first, third])


def run_gru(gru: nn.GRU, x: Tensor, lengths: Tensor) -> Tensor:
    """Compute :func:`~mmskelssl.ops.grouped_gru.plain_gru` for a bidirectional GRU, one operator per layer."""
    for layer in range(gru.num_layers):
        w, r, inputs, states = (torch.stack([_swapped(getattr(gru, f'{name}_l{layer}{suffix}'))
                                             for suffix in ('', '_reverse')])
                                for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'))
        x = gru_layer(x, lengths, w, r, torch.cat([inputs, states], 1))
    return x
