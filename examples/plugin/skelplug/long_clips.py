"""A data set of clips that are long enough."""
import numpy as np

from mmskelssl.datasets import SkeletonDataset
from mmskelssl.errors import UserError
from mmskelssl.registry import DATASETS


@DATASETS.register_module()
class LongClips(SkeletonDataset):
    """The clips of a split that have at least ``min_frames`` frames in the store.

    The framework reads a data set through ``__getitems__`` (a whole batch), ``ids``, ``labels`` and ``num_classes``.
    """

    def __init__(self, *args, min_frames: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        frames = np.array([self.store.samples[i]['frames'] for i in self.positions])
        kept = np.flatnonzero(frames >= min_frames)
        if not len(kept):
            raise UserError(f'{self.store.path}: no clip of split {self.split!r} has {min_frames} frames; the longest '
                            f'has {frames.max()}: lower data.min_frames')
        self.positions, self.labels = self.positions[kept], self.labels[kept]
        self.ids = [self.ids[i] for i in kept]
