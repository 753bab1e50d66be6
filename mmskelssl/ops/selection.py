"""The k largest values of each row, in any order."""
import numpy as np
import torch
from torch import Tensor


def plain_largest(x: Tensor, k: int) -> Tensor:
    """(N, k) columns of the k largest values of each row of ``x`` (N, K), in any order."""
    return x.topk(k, 1, sorted=False).indices


def largest(x: Tensor, k: int) -> Tensor:
    """:func:`plain_largest`, from left to right in each row, by NumPy's partition on a CPU.

    NumPy partitions bare numbers with vector instructions; torch partitions pairs of number and index without them.
    Where several values share the last place, torch decides.

    Args:
        x: (N, K), without gradient. k: 1 to K.
    """
    if x.device.type != 'cpu':
        return plain_largest(x, k)
    last = np.partition(x.numpy(), x.shape[1] - k, 1)[:, x.shape[1] - k]
    chosen = x >= torch.from_numpy(last).unsqueeze(1)
    if int(chosen.count_nonzero()) != len(x) * k:
        return plain_largest(x, k)
    return torch.from_numpy(np.flatnonzero(chosen.numpy())).view(len(x), k) % x.shape[1]
