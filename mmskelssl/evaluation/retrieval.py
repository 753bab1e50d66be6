"""Rank a gallery by cosine similarity."""
from collections.abc import Sequence

import torch

from mmskelssl.evaluation.features import label_array, unit_features

_CHUNK_BYTES = 64 << 20  # size of a chunk of similarities


@torch.no_grad()
def retrieve(gallery, gallery_labels, queries, query_labels, ranks: Sequence[int] = (1, 5, 10)):
    """Compute the average precision of the full ranking and whether the first clips contain the query's class.

    Args:
        gallery: (B, D) features.
        gallery_labels: (B,) classes.
        queries: (N, D) features.
        query_labels: (N,) classes. Queries of a class that is missing from the gallery score 0.
        ranks: Numbers of first clips to consider.

    Returns:
        The nearest clip of the gallery (N,), the average precision (N,) in 0..1, and rank -> (N,) bool.
    """
    gallery, queries = (unit_features(x, f'retrieval: {what}')
                        for x, what in ((gallery, 'gallery'), (queries, 'queries')))
    labels, wanted = (torch.from_numpy(label_array(x, f'retrieval: {what}'))
                      for x, what in ((gallery_labels, 'gallery'), (query_labels, 'queries')))
    place = torch.arange(1, len(gallery) + 1)
    nearest, precision = torch.empty(len(queries), dtype=torch.long), torch.empty(len(queries), dtype=torch.float64)
    found = {rank: torch.empty(len(queries), dtype=torch.bool) for rank in ranks}
    step = max(1, _CHUNK_BYTES // (8 * len(gallery)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        order = (queries[rows] @ gallery.T).argsort(dim=1, descending=True, stable=True)
        hit = labels[order] == wanted[rows].unsqueeze(1)
        nearest[rows] = order[:, 0]
        precision[rows] = (hit * hit.cumsum(1) / place.double()).sum(1) / hit.sum(1).clamp(min=1)
        for rank in ranks:
            found[rank][rows] = hit[:, :rank].any(1)
    return nearest.numpy(), precision.numpy(), {rank: value.numpy() for rank, value in found.items()}
