"""Clustering of the test clips without labels, compared with their classes."""
import time
from collections.abc import Iterator, Sequence

import numpy as np

from mmskelssl.evaluation.metrics import match_clusters
from mmskelssl.evaluation.protocols.base import Outcome, Task
from mmskelssl.evaluation.recipes import CLUSTER

RECIPES = CLUSTER
DEFAULTS = ('kmeans',)
SCORED = False  # the protocol does not rank the classes
LEARNS = False


def run(task: Task, recipes: Sequence[str]) -> Iterator[Outcome]:
    """Yield ``nmi`` and ``ari`` in percent. Top 1 is the accuracy under the best one-to-one match with the classes."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    from mmskelssl.evaluation.processes import deal

    def cluster(name: str) -> Outcome:
        start, predictions, numbers = time.perf_counter(), {}, {}
        for test, clips in task.tests.items():
            count = min(len(np.unique(clips.labels)), len(clips))
            with threadpool_limits(1 if len(clips) < 20_000 else None):
                means = KMeans(count, n_init=RECIPES[name].starts, random_state=task.seed)
                clusters = means.fit_predict(normalize(clips.feats.astype(np.float64)))
            predictions[test] = match_clusters(clips.labels, clusters)
            numbers[test] = dict(nmi=100 * float(normalized_mutual_info_score(clips.labels, clusters)),
                                 ari=100 * float(adjusted_rand_score(clips.labels, clusters)), num_train=0)
        return Outcome(name, predictions=predictions, numbers=numbers, seconds=time.perf_counter() - start)
    yield from deal(cluster, recipes)
