"""The predictions of a classifier."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Predictions:
    """Predictions for N clips.

    Args:
        ids: N names.
        classes: K class names.
        probabilities: (N, K) float32. Rows sum to 1.
        threshold: Clips whose highest probability is lower are unknown.
    """
    ids: list[str]
    classes: list[str]
    probabilities: np.ndarray
    threshold: float = 0.

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> np.ndarray:
        """(N,) bool: clips that show none of the classes, as far as the model can tell."""
        return self.probabilities.max(1) < self.threshold

    @property
    def names(self) -> list[str]:
        """The most probable class of each clip, or ``unknown``."""
        return [UNKNOWN if unknown else self.classes[best]
                for unknown, best in zip(self.unknown, self.probabilities.argmax(1), strict=True)]

    def top(self, count: int) -> list[list[tuple[str, float]]]:
        """Return the ``count`` most probable classes of each clip with their probabilities, the best first."""
        order = np.argsort(-self.probabilities, axis=1, kind='stable')[:, :count]
        return [[(self.classes[i], float(row[i])) for i in best]
                for row, best in zip(self.probabilities, order, strict=True)]


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several sets of clips as one."""
    first = parts[0]
    return Predictions([name for part in parts for name in part.ids], first.classes,
                       np.concatenate([part.probabilities for part in parts]), first.threshold)
