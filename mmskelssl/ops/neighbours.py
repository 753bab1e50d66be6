"""Nearest-neighbour search among many columns."""
import torch
from torch import Tensor

GROUP = 32


def plain_nearest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return values and columns (N, k) of the k largest entries per row of ``similarity`` (N, K), largest first."""
    return similarity.topk(k)


def nearest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute :func:`plain_nearest` in about half the time if k is small compared with K.

    The columns are divided into groups. The k largest values lie in the k groups with the largest maxima, so only
    those groups are searched.
    """
    rows, columns = similarity.shape
    groups = columns // GROUP
    if k * GROUP * 4 > columns:
        return plain_nearest(similarity, k)
    dealt = similarity[:, :groups * GROUP].unflatten(1, (GROUP, groups))
    best = dealt.amax(1).topk(k, sorted=False).indices
    members = torch.arange(GROUP, device=best.device).view(-1, 1) * groups + best.unsqueeze(1)
    rest = torch.arange(groups * GROUP, columns, device=best.device).expand(rows, -1)  # fewer than GROUP columns
    candidates = torch.cat([members.flatten(1), rest], 1)
    values, which = similarity.gather(1, candidates).topk(k)
    return values, candidates.gather(1, which)
