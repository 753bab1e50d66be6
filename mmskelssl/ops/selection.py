"""The k largest values of each row, in any order."""
import numpy as np
import torch
from torch import Tensor


def plain_largest(x: Tensor, k: int) -> Tensor:
    """Return the columns (N, k) of the k largest values of each row of ``x`` (N, K), in any order."""
    return x.topk(k, 1, sorted=False).indices


def largest(x: Tensor, k: int) -> Tensor:
    """Compute :func:`plain_largest` with NumPy's partition on a CPU. Columns are in increasing order in each row.

    NumPy partitions plain numbers with vector instructions. Torch partitions pairs of number and index without them.
    If several values tie for the last place, the result is the one of torch.

    Args:
        x: (N, K), without gradient.
        k: Number of columns to select, 1 to K.
    """
    if x.device.type != 'cpu' or torch.compiler.is_compiling():
        return plain_largest(x, k)
    last = np.partition(x.numpy(), x.shape[1] - k, 1)[:, x.shape[1] - k]
    chosen = x >= torch.from_numpy(last).unsqueeze(1)
    if int(chosen.count_nonzero()) != len(x) * k:
        return plain_largest(x, k)
    return torch.from_numpy(np.flatnonzero(chosen.numpy())).view(len(x), k) % x.shape[1]
