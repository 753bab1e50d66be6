"""A pre-trained encoder as a scikit-learn transformer."""
import os
from collections.abc import Sequence
from os import PathLike

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from mmskelssl.inference.extractor import FeatureExtractor, open_encoder


class SkeletonFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Transforms clips to the features of a pre-trained encoder.

    It works in ``Pipeline``, ``GridSearchCV``, ``clone`` and joblib. Nothing is learned from the clips, so ``fit`` only
    loads the encoder. With ``Pipeline(..., memory=FOLDER)``, features are computed once for all parameters of a search.

        model = make_pipeline(SkeletonFeatures('zoo/simclr-nwucla-joint'), StandardScaler(), SVC())
        model.fit(clips, labels)

    Args:
        checkpoint: Checkpoint, work_dir, folder of a saved encoder, or ``zoo/NAME``.
        device: Device, such as ``cuda``. By default, the GPU if there is one.
        batch_size: Number of clips to encode at once. It affects only memory and speed.
        imports: Plug-ins to import first: modules, or paths of packages and files.
        like: A config whose preprocessing the clips get, for a checkpoint that does not describe its own.
        fps: Frames per second of the clips, which are resampled if the encoder was trained on another rate. By default,
            the clips have the rate of the encoder.
        layout: Layout of the clips, for an encoder that was trained on several.

    Attributes:
        extractor_: The encoder. It is not pickled but loaded again.
        n_features_out_: Length of a feature, D.
    """

    def __init__(self, checkpoint: str | PathLike, device: str | None = None, batch_size: int = 256,
                 imports: Sequence[str] = (), like: str | PathLike | None = None, fps: float | None = None,
                 layout: str | dict | None = None):
        self.checkpoint, self.device, self.batch_size = checkpoint, device, batch_size
        self.imports, self.like, self.fps, self.layout = imports, like, fps, layout

    def fit(self, X, y=None) -> 'SkeletonFeatures':
        """Load the encoder.

        Args:
            X: Clips, see :meth:`transform`. Not used.
            y: Not used.
        """
        self._load()
        return self

    def transform(self, X) -> np.ndarray:
        """Return the features (N, D) float32 of clips.

        Args:
            X: A list of arrays (T, V, C) or (M, T, V, C) with any number of frames and persons, or one array
                (N, T, V, C) or (N, M, T, V, C).
        """
        return self._load()(X, self.fps)

    def _load(self) -> FeatureExtractor:
        """Return the encoder. It is loaded in the first call, and again if a parameter has changed."""
        given = repr(self.get_params())
        if getattr(self, '_given', None) != given:
            like = None if self.like is None else os.fspath(self.like)
            self.extractor_ = open_encoder(os.fspath(self.checkpoint), self.device, self.batch_size, self.imports, like,
                                           layout=self.layout)
            self.n_features_out_, self._given = int(self.extractor_.model.feat_channels), given
        return self.extractor_

    @property
    def _n_features_out(self) -> int:  # from which scikit-learn makes get_feature_names_out
        return self.n_features_out_

    def __getstate__(self) -> dict:
        """Leave out the encoder, which each process loads for itself."""
        state = super().__getstate__()
        return {key: value for key, value in state.items() if key not in ('extractor_', '_given')}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, 'n_features_out_')

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.requires_fit = False
        return tags
