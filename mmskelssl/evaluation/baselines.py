"""What raw coordinates reach without an encoder: the least that features should improve on."""
import numpy as np
import torch

from mmskelssl.datasets.store.reader import SkeletonStore

FRAMES = 32
_BYTES = 1 << 28  # of all vectors


def coordinates(store: SkeletonStore, rows: np.ndarray, persons: int) -> np.ndarray:
    """Return clips as vectors (N, persons * 32 * V * C) float32.

    The hip of the first person is at the origin when that person appears, so that its path remains.

    Args:
        rows: (N,) positions in the store.
        persons: Number of persons; absent ones are zeros.
    """
    joints, channels = store.layout.num_joints, store.channels
    made = np.zeros((len(rows), persons, FRAMES, joints, channels), np.float32)
    for vector, row in zip(made, rows, strict=True):
        clip = store.keypoints(int(row))
        clip = clip[clip.any((1, 2, 3))][:persons]
        if not len(clip):
            continue
        shown = np.flatnonzero(clip.any((0, 2, 3)))
        times = np.linspace(shown[0], shown[-1], FRAMES).round().astype(int)
        first = int(clip[0].any((1, 2)).argmax())
        moved = clip - clip[0, first, store.layout.hip]
        vector[:len(clip)] = np.where(clip.any((2, 3), keepdims=True), moved, 0)[:, times]
    return made.reshape(len(rows), -1)


@torch.no_grad()
def raw_neighbours(store: SkeletonStore, train: np.ndarray, test: np.ndarray) -> np.ndarray | None:
    """Classify clips by the nearest training clip (Euclidean distance of centred coordinates over 32 moments).

    Args:
        train, test: Positions of clips with labels.

    Returns:
        (len(test),) classes; None for a store whose vectors would take more than 256 MiB.
    """
    persons = min(2, int(store.persons[np.concatenate([train, test])].max()))
    size = 4 * persons * FRAMES * store.layout.num_joints * store.channels * (len(train) + len(test))
    if size > _BYTES:
        return None
    bank, queries = (torch.from_numpy(coordinates(store, rows, persons)) for rows in (train, test))
    nearest = torch.cat([torch.cdist(part, bank).argmin(1) for part in queries.split(256)])
    return store.labels[train][nearest.numpy()]
