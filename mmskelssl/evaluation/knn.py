"""Nearest neighbours on the unit sphere."""
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import feature_tensor

_CHUNK_BYTES = 28 << 20  # of similarities held at a time; beyond 32 MiB malloc maps fresh pages for each chunk
_GROUP = 32


def _nearest(similarity: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and columns of the k largest of each row, largest first.

    The columns are dealt into groups. The k largest lie in the k groups of the largest maxima, so that only those are
    looked through: half the time of a selection among tens of thousands.
    """
    rows, columns = similarity.shape
    groups = columns // _GROUP
    if k * _GROUP * 4 > columns:
        return similarity.topk(k)
    dealt = similarity[:, :groups * _GROUP].unflatten(1, (_GROUP, groups))
    best = dealt.amax(1).topk(k, sorted=False).indices
    members = torch.arange(_GROUP, device=best.device).view(-1, 1) * groups + best.unsqueeze(1)
    rest = torch.arange(groups * _GROUP, columns, device=best.device).expand(rows, -1)  # what could not be dealt evenly
    candidates = torch.cat([members.flatten(1), rest], 1)
    values, which = similarity.gather(1, candidates).topk(k)
    return values, candidates.gather(1, which)


@torch.no_grad()
def knn_scores(bank, bank_labels, queries, ks: Sequence[int] = (1,), temperature: float | None = None,
               num_classes: int | None = None) -> dict[int, np.ndarray]:
    """Votes of the nearest neighbours, by cosine.

    A feature of length zero has similarity 0 to everything. A ``k`` beyond the bank takes the whole bank.

    Args:
        bank: (B, D) features of labelled clips.
        bank_labels: (B,) classes.
        queries: (N, D).
        ks: Numbers of neighbours; all are served by one product and one selection.
        temperature: None: each neighbour has one vote. Else it votes with exp(similarity / temperature) (Wu et al.,
            "Unsupervised feature learning via non-parametric instance discrimination", 3.4).
        num_classes: Width of the result; default the highest label + 1.

    Returns:
        k -> (N, classes) float32 votes.
    """
    if not ks or min(ks) < 1:
        raise UserError(f'KNN: k must be at least 1, got {list(ks)}')
    bank, queries = (F.normalize(feature_tensor(x, f'KNN: {what}'), dim=1)
                     for x, what in ((bank, 'bank'), (queries, 'queries')))
    labels = torch.as_tensor(np.asarray(bank_labels), dtype=torch.long, device=bank.device)
    if len(labels) != len(bank) or bank.shape[1] != queries.shape[1]:
        raise UserError(f'KNN: bank {tuple(bank.shape)} with {len(labels)} labels does not go with queries '
                        f'{tuple(queries.shape)}')
    if labels.min() < 0:
        raise UserError(f'KNN: {int((labels < 0).sum())} clips of the bank have no label; '
                        'give the store labels, or evaluate on another one')
    classes = max(num_classes or 0, int(labels.max()) + 1)
    votes = {k: np.empty((len(queries), classes), np.float32) for k in ks}
    step = max(1, _CHUNK_BYTES // (4 * len(bank)))
    for start in range(0, len(queries), step):
        similarity, near = _nearest(queries[start:start + step] @ bank.T, min(max(ks), len(bank)))
        # Subtracting 1 scales all votes of a query alike and keeps small temperatures from overflowing.
        weight = torch.ones_like(similarity) if temperature is None else ((similarity - 1) / temperature).exp()
        for k in ks:
            vote = similarity.new_zeros(len(similarity), classes)
            vote.scatter_add_(1, labels[near[:, :k]], weight[:, :k])
            votes[k][start:start + step] = vote.cpu().numpy()
    return votes


def knn_classify(bank, bank_labels, queries, ks: Sequence[int] = (1,),
                 temperature: float | None = None) -> dict[int, np.ndarray]:
    """Classes of the queries: k -> (N,) int64. The lower class wins a tie. Arguments as in :func:`knn_scores`."""
    votes = knn_scores(bank, bank_labels, queries, ks, temperature)
    return {k: vote.argmax(1) for k, vote in votes.items()}
