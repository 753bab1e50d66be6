"""Choose the clips of a page, and find their neighbours among the training clips."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmskelssl.evaluation.features import unit_features
from mmskelssl.visualization.browsing import evenly

NEIGHBOURS = 5
_BLOCK = 512


@dataclass(frozen=True)
class Selection:
    """The clips of a page.

    Args:
        rows: Positions in the store, in ascending order.
        queries: Positions of the clips whose neighbours are on the page, in ascending order.
        nearest: (len(queries), k) positions of the nearest clips of the gallery, the nearest first.
        cosine: (len(queries), k) their cosines.
    """
    rows: np.ndarray
    queries: np.ndarray
    nearest: np.ndarray
    cosine: np.ndarray


def neighbours(queries: np.ndarray, gallery: np.ndarray, same: np.ndarray | None = None,
               count: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the nearest features of a gallery by cosine, and the cosines, each (N, k).

    Args:
        queries: (N, D).
        gallery: (B, D).
        same: (N,) row of each query in the gallery, which is not its own neighbour; -1 if it is not there.
    """
    bank, asked = (unit_features(x, 'neighbours') for x in (gallery, queries))
    count = min(count, len(bank) - int(same is not None and bool((same >= 0).any())))
    rows = np.empty((len(asked), max(count, 0)), int)
    cosine = np.empty(rows.shape)
    for start in range(0, len(asked) if count > 0 else 0, _BLOCK):
        part = asked[start:start + _BLOCK] @ bank.T
        if same is not None:
            own = same[start:start + _BLOCK]
            there = np.flatnonzero(own >= 0)
            part[there, own[there]] = -2
        best = part.topk(count)
        rows[start:start + _BLOCK], cosine[start:start + _BLOCK] = best.indices.numpy(), best.values.numpy()
    return rows, cosine


def select(test: np.ndarray, train: np.ndarray, find: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
           most: int) -> Selection:
    """Choose as many evenly spaced test clips as fit together with their neighbours, and fill up with training clips.

    Args:
        test, train: Positions in the store. They may be the same clips.
        find: Maps indices of ``test`` to the indices of ``train`` of their neighbours (N, k), and cosines.
        most: Number of clips on the page.
    """
    nearest, cosine = find(np.arange(len(test)))
    low, high = 1, len(test)
    while low < high:  # the largest number of queries whose neighbours fit
        middle = (low + high + 1) // 2
        chosen = np.array(evenly(middle, len(test)))
        fits = len(np.union1d(test[chosen], train[nearest[chosen].ravel()])) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    chosen = np.array(evenly(low, len(test)))
    rows = np.union1d(test[chosen], train[nearest[chosen].ravel()])
    rest = np.setdiff1d(train, rows)
    more = rest[evenly(max(0, most - len(rows)), len(rest))] if len(rest) and len(rows) < most else rest[:0]
    order = np.argsort(test[chosen], kind='stable')
    return Selection(np.union1d(rows, more), test[chosen][order], train[nearest[chosen]][order], cosine[chosen][order])
