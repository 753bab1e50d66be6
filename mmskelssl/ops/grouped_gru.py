"""Recurrence over sequences of different lengths, processed in groups of similar length.

On a device, the host would have to wait for the lengths to form groups or to pack. There, all rows run to the end.
"""
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmskelssl.tracing import reads_values

GROUP = 16  # minimum number of rows per group: with fewer, the smaller products outweigh the gain of a shorter loop


def plain_run_by_length(function: Callable[[Tensor, Tensor, int], Tensor], x: Tensor, lengths: Tensor,
                        frames: int) -> Tensor:
    """Run a recurrent function on all rows, up to the length of the longest row.

    Args:
        function: Maps (rows of ``x``, their lengths, their maximum length L) to (n, L, D).
        x: (N, ...).
        lengths: (N,), on the host.
        frames: T of the result.

    Returns:
        (N, T, D), zero beyond each row's length.
    """
    longest, lengths = int(lengths.max()), lengths.to(x.device)
    made = function(x, lengths, longest)
    beyond = torch.arange(longest, device=x.device) >= lengths.unsqueeze(1)
    return F.pad(made.masked_fill(beyond.unsqueeze(2), 0.), (0, 0, 0, frames - longest))


def run_by_length(function: Callable[[Tensor, Tensor, int], Tensor], x: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """Compute :func:`plain_run_by_length` in up to four groups of rows of similar length.

    Each group runs up to the length of its own longest row. On a device, where ``lengths`` are as well, all rows run up
    to ``frames``.
    """
    if not reads_values(x):
        beyond = torch.arange(frames, device=x.device) >= lengths.unsqueeze(1)
        return function(x, lengths, frames).masked_fill(beyond.unsqueeze(2), 0.)
    order = lengths.argsort()
    parts = [plain_run_by_length(function, x[rows.to(x.device)], lengths[rows], frames)
             for rows in order.chunk(max(1, min(4, len(x) // GROUP)))]
    return torch.cat(parts)[order.argsort().to(x.device)]


def plain_gru(gru: nn.GRU, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the states (N, T, D) of a GRU on packed sequences. They are zero beyond each row's length.

    Args:
        gru: GRU with ``batch_first``.
        x: (N, T, F). Values beyond a row's length are ignored.
        lengths: (N,), on the host.
    """
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def bidirectional_gru(gru: nn.GRU, x: Tensor, lengths: Tensor) -> Tensor:
    """Compute :func:`plain_gru` for a bidirectional GRU, without packing if gradients are needed on a CPU.

    On a CPU, the backward pass of a packed sequence fills a zero tensor as large as the whole batch for each frame.
    Its cost is quadratic in the length. At 100 or more frames it is more than twice as slow. On a device, ``lengths``
    are there, too.
    """
    if reads_values(x) and not torch.is_grad_enabled():
        return plain_gru(gru, x, lengths)
    return run_by_length(lambda *rows: _both_directions(gru, *rows), x, lengths, x.shape[1])


def _both_directions(gru: nn.GRU, x: Tensor, lengths: Tensor, longest: int) -> Tensor:
    """Run both directions on x (N, T, F) and return (N, longest, D). States beyond a row's end are meaningless.

    The backward direction starts at the end of each row, so its rows are reversed first.
    """
    beyond = torch.arange(longest, device=x.device) >= lengths.unsqueeze(1)
    x = x[:, :longest].masked_fill(beyond.unsqueeze(2), 0.)  # so that not even NaN in the padding reaches a gradient
    for layer in range(gru.num_layers):
        if layer and gru.dropout:
            x = F.dropout(x, gru.dropout, gru.training)
        x = torch.cat([_direction(gru, x, f'l{layer}'),
                       reverse(_direction(gru, reverse(x, lengths), f'l{layer}_reverse'), lengths)], 2)
    return x


def _direction(gru: nn.GRU, x: Tensor, suffix: str) -> Tensor:
    weights = [getattr(gru, f'{name}_{suffix}') for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')]
    start = x.new_zeros(1, len(x), gru.hidden_size)
    return torch.gru(x, start, weights, True, 1, 0., gru.training, False, True)[0]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the first ``lengths`` (N,) frames of each row of x (N, T, D). The other frames stay in place."""
    time = torch.arange(x.shape[1], device=x.device)
    source = torch.where(time < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - time, time)
    return x.gather(1, source.unsqueeze(2).expand(-1, -1, x.shape[2]))
