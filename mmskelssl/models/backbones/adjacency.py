"""Named graph adjacencies of ST-GCN: (K, V, V) arrays with ``y[w] = sum_v x[v] A[k, v, w]``.

Two families of code use the name ``spatial`` for different arrays. A checkpoint of one is useless with the array of
the other, so each array has its own name here.
"""
import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


def _hops_to_centre(layout: SkeletonLayout) -> np.ndarray:
    hops = np.zeros(layout.num_joints)
    for joint in layout.order[1:]:
        hops[joint] = hops[layout.parents[joint]] + 1
    return hops


def _partition(layout: SkeletonLayout, hops: np.ndarray) -> np.ndarray:
    """Return column-normalised A + I, split into self links, links not away from the centre, and links away from it."""
    linked = np.eye(layout.num_joints)
    for child, parent in layout.bones:
        linked[child, parent] = linked[parent, child] = 1
    normalised = linked / linked.sum(0)
    itself = np.eye(layout.num_joints, dtype=bool)
    further = ~itself & (hops[:, None] < hops[None, :])  # the source is closer to the centre than the target
    return np.stack([normalised * itself, normalised * (~itself & ~further), normalised * further])


def stgcn(layout: SkeletonLayout) -> np.ndarray:
    """Return the array of ActCLR, AimCLR and CrosSCLR.

    These methods count hops only up to one. All joints beyond the centre's own neighbours are therefore at the same
    distance, and the centrifugal slice contains only 8 of NTU's 48 links.
    """
    hops = _hops_to_centre(layout)
    return _partition(layout, np.where(hops > 1, np.inf, hops))


def partition(layout: SkeletonLayout) -> np.ndarray:
    """Return the spatial partition as defined in the ST-GCN paper (AAAI 2018, section 3.3), with true distances."""
    return _partition(layout, _hops_to_centre(layout))


def agcn(layout: SkeletonLayout) -> np.ndarray:
    """Return the array of 2s-AGCN, also used by SkeAttnCLR.

    The slices are the identity, the inward links and the outward links. The last two are column-normalised.
    """
    inward = np.zeros((layout.num_joints, layout.num_joints))
    for child, parent in layout.bones:
        inward[parent, child] = 1
    outward = inward.T
    return np.stack([np.eye(layout.num_joints), *(a / np.maximum(a.sum(0), 1) for a in (inward, outward))])


ADJACENCIES = dict(stgcn=stgcn, agcn=agcn, partition=partition)


def build_adjacency(name: str, layout: SkeletonLayout) -> np.ndarray:
    """Return the named adjacency as a (K, V, V) float32 array."""
    if name not in ADJACENCIES:
        raise UserError(f'unknown adjacency {name!r}: choose one of {", ".join(ADJACENCIES)}')
    return ADJACENCIES[name](layout).astype(np.float32)
