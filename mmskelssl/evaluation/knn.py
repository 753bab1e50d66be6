"""Nearest-neighbour classification by cosine similarity."""
from collections.abc import Sequence

import numpy as np
import torch

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import label_array, unit_features
from mmskelssl.evaluation.processes import deal
from mmskelssl.ops.neighbours import nearest

_CHUNK_BYTES = 28 << 20  # size of a chunk of similarities; above 32 MiB malloc maps fresh pages for each chunk


@torch.no_grad()
def knn_scores(bank, bank_labels, queries, ks: Sequence[int] = (1,), temperature: float | None = None,
               num_classes: int | None = None) -> dict[int, np.ndarray]:
    """Return the votes of the nearest neighbours by cosine.

    A feature of length zero has similarity 0 to all others. If ``k`` exceeds the size of the bank, the whole bank
    votes.

    Args:
        bank: (B, D) features of labelled clips.
        bank_labels: (B,) classes.
        queries: (N, D).
        ks: Numbers of neighbours. All of them share one product and one selection.
        temperature: If None, each neighbour has one vote. Otherwise a vote has the weight exp(similarity /
            temperature) (Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", 3.4).
        num_classes: Number of classes. By default, the highest label + 1.

    Returns:
        k -> (N, classes) float32 votes.

    Raises:
        UserError: If an argument is invalid or a clip of the bank has no label.
    """
    if not ks or min(ks) < 1:
        raise UserError(f'KNN: k must be at least 1, got {list(ks)}')
    bank, queries = (unit_features(x, f'KNN: {what}') for x, what in ((bank, 'bank'), (queries, 'queries')))
    labels = torch.from_numpy(label_array(bank_labels, 'KNN: bank')).to(bank.device)
    if len(labels) != len(bank) or bank.shape[1] != queries.shape[1]:
        raise UserError(f'KNN: bank {tuple(bank.shape)} with {len(labels)} labels does not match queries '
                        f'{tuple(queries.shape)}')
    classes = max(num_classes or 0, int(labels.max()) + 1)
    step = max(1, _CHUNK_BYTES // (4 * len(bank)))

    def vote(start: int) -> list[np.ndarray]:
        similarity, near = nearest(queries[start:start + step] @ bank.T, min(max(ks), len(bank)))
        # Subtracting 1 scales all votes of a query equally and prevents overflow at small temperatures.
        weight = torch.ones_like(similarity) if temperature is None else ((similarity - 1) / temperature).exp()
        return [similarity.new_zeros(len(similarity), classes).scatter_add_(
            1, labels[near[:, :k]], weight[:, :k]).cpu().numpy() for k in ks]

    votes = {k: np.empty((len(queries), classes), np.float32) for k in ks}
    starts = range(0, len(queries), step)
    for start, parts in zip(starts, deal(vote, starts), strict=True):
        for k, part in zip(ks, parts, strict=True):
            votes[k][start:start + step] = part
    return votes


def knn_classify(bank, bank_labels, queries, ks: Sequence[int] = (1,),
                 temperature: float | None = None) -> dict[int, np.ndarray]:
    """Classify the queries and return k -> (N,) int64. The lower class wins ties. See :func:`knn_scores`."""
    votes = knn_scores(bank, bank_labels, queries, ks, temperature)
    return {k: vote.argmax(1) for k, vote in votes.items()}
