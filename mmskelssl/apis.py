"""Use a pre-trained encoder from Python to extract features and classify clips.

    extractor = FeatureExtractor('work_dirs/aimclr_toy/epoch_16.pth')
    feats = extractor([walk, jump])  # arrays (T, V, C) -> (2, D)
"""
import inspect
import os
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch

from mmskelssl.commands.encoder import build_encoder, coordinates, move_to
from mmskelssl.datasets.preprocessing import check_shape, run_transform
from mmskelssl.datasets.skeleton_dataset import about_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_dataset, build_pipeline
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features, extract_features
from mmskelssl.evaluation.linear import fit_probe
from mmskelssl.layouts import get_layout
from mmskelssl.models import SelfSupervisedModel
from mmskelssl.registry import MODELS

__all__ = ['FeatureExtractor', 'SkeletonInferencer', 'list_methods']


def list_methods() -> list[str]:
    """Return the sorted names of the registered pre-training methods, including those of imported plug-ins."""
    MODELS.import_from_location()
    return sorted(name for name, kind in MODELS.module_dict.items()
                  if inspect.isclass(kind) and issubclass(kind, SelfSupervisedModel) and not inspect.isabstract(kind))


class FeatureExtractor:
    """The frozen encoder of a checkpoint, with the preprocessing of its training.

    Clips must have the joints, axes and units of the store that the encoder was trained on. The features are the same
    as those evaluated by tools/evaluate.py.

    Args:
        checkpoint: Checkpoint that contains its model config, such as those of tools/train.py.
        device: Device, such as ``cuda``. By default, the GPU if there is one.
        batch_size: Number of clips to encode at once. It affects only memory and speed.
        imports: Plug-ins to import first: modules, or paths of packages and files.
        like: A config, or the name of a shipped one, whose preprocessing the clips get. It is for checkpoints that do
            not describe their own, such as converted official weights.

    Attributes:
        model: The whole model. Its ``backbone`` is the encoder.
        layout: Skeleton layout of the clips.
        channels: Number of coordinates of a joint, C.
        store: Folder of the training store, or None if the checkpoint does not name it.
    """

    def __init__(self, checkpoint: str | PathLike, device: str | torch.device | None = None, batch_size: int = 256,
                 imports: Sequence[str] = (), like: str | PathLike | None = None):
        import_plugins(imports)
        if type(batch_size) is not int:
            raise UserError(f'batch size {batch_size!r}: it must be a whole number')
        self.model, info = build_encoder(checkpoint, like)
        self.checkpoint, self.batch_size = os.fspath(checkpoint), batch_size
        data = info.get('dataset')
        if data is None:
            raise UserError(f'{self.checkpoint}: does not say how its clips were preprocessed; use a checkpoint '
                            'written by tools/train.py, or name a config with like=...')
        self._data: dict = data
        self.store = self._data.get('store')
        self.layout = get_layout(about_data(self._data)['layout'])
        self.channels = coordinates(self.model, self.checkpoint)
        self._transform = build_pipeline(self._data['pipeline'], self.checkpoint)
        move_to(self.model, device)

    def __call__(self, clips) -> np.ndarray:
        """Extract the features of clips, (N, D) float32, in the order of the clips.

        Args:
            clips: A list of arrays (T, V, C) or (M, T, V, C) with any number of frames and persons, or one array
                (N, T, V, C) or (N, M, T, V, C). Frames in which a person is absent are all zeros.

        Raises:
            UserError: If there are no clips, or a clip is empty, has another layout or number of coordinates, is not
                finite or shows no body. The message contains the index of the clip.
        """
        return extract_features(self.model, _Clips(self, clips), self.batch_size).feats

    def of_store(self, store: str | PathLike | None = None, split: str = 'all') -> Features:
        """Extract features, labels and ids of the clips of a store, preprocessed as described in the checkpoint.

        Args:
            store: Folder of the store. By default, the store that the encoder was trained on.
            split: Name of a split, or ``all``.
        """
        if not (store or self.store):
            raise UserError(f'{self.checkpoint}: does not name its data; give the folder of a store')
        source = SkeletonStore(store or self.store)
        if (source.layout, source.channels) != (self.layout, self.channels):
            raise UserError(f'{source.path} has layout {source.layout.name!r} with {source.channels} coordinates per '
                            f'joint, but {self.checkpoint} was trained on {self.layout.name!r} with {self.channels}; '
                            'choose another store')
        dataset = build_dataset({**self._data, 'store': source.path}, split, self.checkpoint)
        return extract_features(self.model, dataset, self.batch_size)


class SkeletonInferencer:
    """Classify clips with the ``logreg`` probe of tools/evaluate.py, fitted on frozen features and labels of a store.

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


class _Clips:
    """Clips in memory as a data set for :func:`extract_features`. Each batch is preprocessed on access."""

    def __init__(self, extractor: FeatureExtractor, clips):
        shape = getattr(clips, 'shape', None)
        if shape is not None and len(shape) not in (4, 5):
            raise UserError(f'clips: an array of shape {tuple(shape)}, expected (N, T, V, C) or (N, M, T, V, C); put a '
                            'single clip into a list')
        self.extractor, self.clips = extractor, [_checked(extractor, i, clip) for i, clip in enumerate(clips)]
        if not self.clips:
            raise UserError('clips: expected at least one clip, got none')
        self.ids = [f'clip {i}' for i in range(len(self.clips))]
        self.labels = np.full(len(self.clips), -1)
        self.shape: tuple | None = None

    def __getitems__(self, rows: list[int]) -> dict:
        transform, layout = self.extractor._transform, self.extractor.layout
        samples = [run_transform(transform, self.clips[i], layout, self.ids[i], self.ids[i]) for i in rows]
        self.shape = self.shape or samples[0]['inputs'].shape
        for i, sample in zip(rows, samples, strict=True):
            check_shape(self.ids[i], sample['inputs'].shape, self.shape)
        return dict(inputs=torch.from_numpy(np.stack([sample['inputs'] for sample in samples])),
                    data_samples=dict(num_frames=torch.tensor([sample['num_frames'] for sample in samples])))


def _checked(extractor: FeatureExtractor, i: int, clip) -> np.ndarray:
    """Return a clip as (M, T, V, C) float32, without a copy if possible."""
    try:
        clip = np.asarray(clip)
    except (RuntimeError, TypeError, ValueError) as error:  # torch tensors can raise any of them
        raise UserError(f'clip {i} is not an array: {error}') from error
    if clip.dtype.kind not in 'fiu':
        raise UserError(f'clip {i} is an array of {clip.dtype}, not of numbers')
    joints = extractor.layout.num_joints, extractor.channels
    if clip.ndim not in (3, 4) or clip.shape[-2:] != joints or not clip.size:
        frames = '(T, {0}, {1}) or (M, T, {0}, {1})'.format(*joints)
        raise UserError(f'clip {i} has shape {clip.shape}, expected {frames} with one frame or more: the joints of '
                        f'layout {extractor.layout.name!r} and their coordinates')
    with np.errstate(over='ignore'):  # overflow is reported as not finite below
        clip = np.asarray(clip if clip.ndim == 4 else clip[None], np.float32)
    if not np.isfinite(clip).all():  # check now, not after hours of processing other clips
        raise UserError(f'clip {i} contains NaN or Inf; fill its gaps first (mmskelssl.datasets.store.mend.fill_gaps)')
    return clip
