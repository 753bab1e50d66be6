"""Clusters of clips without labels: how many there are, which clip is in which, and how well they separate."""
from dataclasses import dataclass

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import unit_features
from mmskelssl.evaluation.recipes import CLUSTER

MOST = 20  # clusters tried when no number is given
_SAMPLE = 5000  # clips that a silhouette is computed on, as it needs all distances


@dataclass(frozen=True)
class Clusters:
    """K clusters of N clips, the largest first.

    Args:
        assignments: (N,) clusters, 0 to K - 1.
        distances: (N,) Euclidean distance of each clip's unit feature to the centre of its cluster.
        silhouette: Mean silhouette in -1..1 (Rousseeuw, 1987).
        tried: Number of clusters -> its silhouette, of all numbers tried.
    """
    assignments: np.ndarray
    distances: np.ndarray
    silhouette: float
    tried: dict[int, float]

    def nearest(self, cluster: int, count: int) -> np.ndarray:
        """Rows of the clips nearest to a cluster's centre, in order."""
        rows = np.flatnonzero(self.assignments == cluster)
        return rows[np.argsort(self.distances[rows], kind='stable')[:count]]


def find_clusters(features, count: int | None = None, seed: int = 0) -> Clusters:
    """K-means on L2-normalised features (recipe ``kmeans``).

    Args:
        features: (N, D).
        count: Number of clusters; default the one with the best silhouette, of 2 to :data:`MOST`.
        seed: Of the starts, and of the sample for the silhouettes of more than 5,000 clips.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits
    x = unit_features(features, 'clusters').numpy().astype(np.float64)
    distinct = len(np.unique(x, axis=0))
    most = min(distinct, len(x) - 1)  # with as many clusters as clips, the silhouette is undefined
    if not 2 <= (2 if count is None else count) <= most:
        raise UserError(f'clusters: {len(x)} clips with {distinct} different features allow 2 to {most} clusters'
                        + ('' if count is None else f', not {count}'))
    found: dict[int, tuple[float, KMeans]] = {}
    with threadpool_limits(1 if len(x) < 20_000 else None):
        for k in [count] if count else range(2, min(MOST, most) + 1):
            means = KMeans(k, n_init=CLUSTER['kmeans'].starts, random_state=seed).fit(x)
            sample = _SAMPLE if len(x) > _SAMPLE else None
            found[k] = float(silhouette_score(x, means.labels_, sample_size=sample, random_state=seed)), means
    best = max(found, key=lambda k: found[k][0])
    silhouette, means = found[best]
    order = np.argsort(-np.bincount(means.labels_, minlength=best), kind='stable')
    distances = np.linalg.norm(x - means.cluster_centers_[means.labels_], axis=1)
    return Clusters(np.argsort(order)[means.labels_], distances, silhouette, {k: s for k, (s, _) in found.items()})
