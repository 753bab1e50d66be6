"""Chooses the regularisation of a linear probe on training clips only."""
from dataclasses import dataclass

import numpy as np

from mmskelssl.evaluation.recipes import LogRegCVRecipe, LogRegRecipe
from mmskelssl.evaluation.splits import held_out_parts


@dataclass(frozen=True)
class Choice:
    """The C with the best accuracy on held-out training clips.

    Args:
        C: The smallest of the best values, the one that regularises most.
        parts: Number of parts that were held out in turn.
        by: ``subjects`` or ``clips``, what the training clips were divided by.
        clips: Number of clips that were held out, one time each.
        top1: Accuracy on held-out clips in percent, for each value.
        recipe: Logistic regression with this C.
    """
    C: float
    parts: int
    by: str
    clips: int
    top1: dict[float, float]
    recipe: LogRegRecipe

    def numbers(self) -> dict:
        """Return the fields of a row in results.json."""
        top1 = {f'{c:.4g}': value for c, value in self.top1.items()}
        return dict(C=self.C, cv=dict(parts=self.parts, by=self.by, clips=self.clips, top1=top1))


def choose_c(recipe: LogRegCVRecipe, feats: np.ndarray, labels: np.ndarray, subjects: np.ndarray | None = None,
             seed: int = 0) -> Choice:
    """Choose C by cross-validation.

    The parts have different subjects if at least three subjects are known, and otherwise the same share of each class.
    Features are standardised with the statistics of the other parts. Of more than ``recipe.most_clips`` clips, a random
    choice of that many is used.

    Args:
        feats: (N, D) training features.
        labels: (N,) classes.
        subjects: (N,) subject of each clip, -1 if unknown.
        seed: Seed of the parts.

    Raises:
        UserError: If each clip has its own class.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits
    if len(labels) > recipe.most_clips:
        kept = np.sort(np.random.default_rng(seed).choice(len(labels), recipe.most_clips, replace=False))
        feats, labels = feats[kept], labels[kept]
        subjects = None if subjects is None else subjects[kept]
    values = np.geomspace(recipe.smallest, recipe.largest, recipe.candidates).tolist()
    people = np.unique(subjects) if subjects is not None and (subjects >= 0).all() else ()
    folds = min(recipe.folds, len(people)) if len(people) >= 3 else recipe.folds
    parts, by = held_out_parts(labels, subjects if len(people) >= 3 else None, folds, seed)
    hits, count = np.zeros(len(values), int), 0
    with threadpool_limits(1 if feats.size * (labels.max() + 1) < 5e7 else None):
        for part in parts:
            rest = np.setdiff1d(np.arange(len(labels)), part)
            count += len(part)
            if len(np.unique(labels[rest])) < 2:
                hits += int((labels[part] == labels[rest[0]]).sum())
                continue
            mean, std = feats[rest].mean(0, dtype=np.float64), feats[rest].std(0, dtype=np.float64)
            std[std < 1e-8] = 1
            model = LogisticRegression(max_iter=recipe.max_iter, warm_start=True)  # from the previous, smaller C
            for i, value in enumerate(values):
                model.set_params(C=value).fit((feats[rest] - mean) / std, labels[rest])
                hits[i] += int((model.predict((feats[part] - mean) / std) == labels[part]).sum())
    best = values[int(hits.argmax())]
    top1 = {value: 100 * int(hit) / count for value, hit in zip(values, hits, strict=True)}
    return Choice(best, len(parts), by, count, top1, LogRegRecipe(best, recipe.max_iter))
