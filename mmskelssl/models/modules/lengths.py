"""What recurrent modules share: batches of sequences of different lengths, and their precision."""
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

GROUP = 16  # fewest rows of a group: smaller products are not worth a shorter loop


def full_precision(x: Tensor) -> torch.autocast:
    """Context without autocast on ``x``'s device.

    Autocast runs cuDNN's recurrences in float16 whatever type was asked for, and small gradients vanish in that.
    """
    return torch.autocast(x.device.type, enabled=False)


def run_by_length(function: Callable[[Tensor, Tensor, int], Tensor], x: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """Run a recurrent function on rows of similar length at a time, as far as their longest.

    A packed sequence does so frame by frame, but on a CPU its backward pass fills a zero tensor of the whole batch's
    size for each frame: quadratic in the length, and more than twice as slow at 100 frames and more.

    Args:
        function: (rows of ``x``, their lengths, their longest length L) -> (n, L, D).
        x: (N, ...).
        lengths: (N,), on the host.
        frames: T of the result.

    Returns:
        (N, T, D), zero beyond each row's length.
    """
    order = lengths.argsort()
    parts = []
    for rows in order.chunk(max(1, min(4, len(x) // GROUP))):
        longest = int(lengths[rows[-1]])
        made = function(x[rows.to(x.device)], lengths[rows].to(x.device), longest)
        beyond = torch.arange(longest, device=x.device) >= lengths[rows].to(x.device).unsqueeze(1)
        parts.append(F.pad(made.masked_fill(beyond.unsqueeze(2), 0.), (0, 0, 0, frames - longest)))
    return torch.cat(parts)[order.argsort().to(x.device)]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """(N, T, D) with the first ``lengths`` (N,) frames of each row in reverse order, the others where they are."""
    time = torch.arange(x.shape[1], device=x.device)
    source = torch.where(time < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - time, time)
    return x.gather(1, source.unsqueeze(2).expand(-1, -1, x.shape[2]))
