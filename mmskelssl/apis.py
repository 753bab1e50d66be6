"""Use trained models from Python.

    extractor = FeatureExtractor('work_dirs/aimclr_toy/epoch_16.pth')
    feats = extractor([walk, jump])  # arrays (T, V, C) -> (2, D)
"""
import inspect
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.evaluation.linear import fit_probe
from mmskelssl.inference.classifier import Predictions, SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.models import SelfSupervisedModel
from mmskelssl.registry import MODELS

__all__ = ['FeatureExtractor', 'Predictions', 'SkeletonClassifier', 'SkeletonInferencer', 'list_methods']


def list_methods() -> list[str]:
    """Return the sorted names of the registered pre-training methods, including those of imported plug-ins."""
    MODELS.import_from_location()
    return sorted(name for name, kind in MODELS.module_dict.items()
                  if inspect.isclass(kind) and issubclass(kind, SelfSupervisedModel) and not inspect.isabstract(kind))


class SkeletonInferencer:
    """Classify clips with the ``logreg`` probe of tools/evaluate.py, fitted on frozen features and labels of a store.

    The probe is fitted in each process. ``mmskelssl fit`` fits one that is calibrated and kept
    (:class:`~mmskelssl.inference.classifier.SkeletonClassifier`).

    Args:
        checkpoint, device, batch_size, imports, like: As in :class:`FeatureExtractor`.
        store: Folder of a labelled store.
        split: Split for training the probe, or ``all``.

    Attributes:
        classes: Class names in the order of the score columns, or numbers if the store has no names.
    """

    def __init__(self, checkpoint: str | PathLike, store: str | PathLike, split: str = 'train',
                 device: str | torch.device | None = None, batch_size: int = 256, imports: Sequence[str] = (),
                 like: str | PathLike | None = None):
        self.extractor = FeatureExtractor(checkpoint, device, batch_size, imports, like)
        train = self.extractor.of_store(store, split)
        self.classes = SkeletonStore(store).classes or [str(i) for i in range(train.labels.max() + 1)]
        self._score = fit_probe(train.feats, train.labels, 'logreg', num_classes=len(self.classes))

    def __call__(self, clips) -> tuple[list[str], np.ndarray]:
        """Return the class name of each clip and scores (N, classes) float32.

        Scores are logits, and the predicted class is their argmax. Classes without training clips are never predicted.

        Args:
            clips: As in :class:`FeatureExtractor`.
        """
        scores = self._score(self.extractor(clips))
        return [self.classes[i] for i in scores.argmax(1)], scores
