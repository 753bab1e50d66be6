"""Extract the features of clips once. The encoder is frozen, so all protocols can share them."""
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from rich.progress import track
from torch import nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.evaluation.processes import deal


@dataclass(frozen=True)
class Features:
    """Features of N clips.

    Args:
        feats: (N, D) float32.
        labels: (N,) int64, -1 if unknown.
        ids: N sample names.
        subjects: (N,) int64, -1 if unknown. None if the source of the clips does not state subjects.
    """
    feats: np.ndarray
    labels: np.ndarray
    ids: list[str]
    subjects: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows) -> 'Features':
        """Return the features of the given rows."""
        return Features(self.feats[rows], self.labels[rows], [self.ids[i] for i in rows],
                        None if self.subjects is None else self.subjects[rows])


def label_array(labels, what: str, known: bool = True) -> np.ndarray:
    """Convert labels to an (N,) int64 array.

    Args:
        labels: (N,) whole numbers from 0 on, or -1 for a missing label. Booleans and floats raise an error, because a
            cast would silently turn them into classes.
        what: Name of the labels, for the error message.
        known: Also raise an error for missing labels.

    Raises:
        UserError: If the labels are invalid or missing.
    """
    given = labels
    labels = np.asarray(labels)
    mixed = isinstance(given, (list, tuple)) and any(isinstance(label, (bool, np.bool_)) for label in given)
    if labels.ndim != 1 or labels.dtype.kind not in 'iu' or mixed or (labels.dtype.kind == 'u' and labels.size
                                                                       and labels.max() > 1 << 62):
        raise UserError(f'{what}: labels are whole numbers from 0 on, one for each clip; got '
                        f'{"booleans among them" if mixed else f"{labels.dtype} of shape {labels.shape}"}')
    labels = labels.astype(np.int64)
    if labels.size and labels.min() < -1:
        raise UserError(f'{what}: clip {int(labels.argmin())} has the label {labels.min()}; labels are whole numbers '
                        'from 0 on, and -1 if there is none')
    if known and (labels < 0).any():
        raise UserError(f'{what}: {int((labels < 0).sum())} of {len(labels)} clips have no label; add labels to '
                        'the store, or evaluate on another one')
    return labels


def unit_features(features, what: str) -> torch.Tensor:
    """Return the features of :func:`feature_tensor`, L2-normalised. Features of length zero do not change.

    Large features are scaled first, because the square of 1e20 exceeds the range of float32.
    """
    features = feature_tensor(features, what)
    largest = features.abs().amax(1, keepdim=True)
    return F.normalize(torch.where(largest > 1e15, features / largest, features), dim=1)


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return the named device. By default, it is the GPU if there is one.

    Raises:
        UserError: If the device cannot hold data.
    """
    try:
        made = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        if made.type == 'meta':
            raise RuntimeError('it holds no data')
        torch.zeros(1, device=made)
        return made
    except (AssertionError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'device {str(device)!r} cannot be used: {reason}') from error


def feature_tensor(features, what: str) -> torch.Tensor:
    """Convert features to an (N, D) float32 tensor.

    Args:
        features: (N, D) features.
        what: Name of the features, for the error message.

    Raises:
        UserError: If there are no features, the shape is wrong or a value is not finite.
    """
    features = torch.as_tensor(features).float()
    if features.dim() != 2 or not len(features):
        raise UserError(f'{what} has shape {tuple(features.shape)}; it must be (N, D) with N > 0')
    if not features.isfinite().all():
        row = int((~features.isfinite()).any(1).nonzero()[0])
        raise UserError(f'{what} row {row} is not finite; check that clip and the checkpoint for NaN')
    return features


@torch.no_grad()
def extract_features(model: nn.Module, dataset, batch_size: int = 256, device: str | torch.device | None = None,
                     progress: bool = True, indices=None) -> Features:
    """Extract features of a data set in eval mode, without augmentation or gradient.

    The mode of the model is restored afterwards. Batches are shared by the processes
    (:func:`~mmskelssl.evaluation.processes.together`).

    Args:
        model: A model with ``data_preprocessor`` and ``extract_feat(inputs, num_frames)`` -> (N, D).
        dataset: A :class:`SkeletonDataset` or any object with ``__getitems__``, ``labels`` and ``ids``.
        batch_size: Number of clips per batch.
        device: Device to run on. By default, the model's device.
        progress: Show a progress bar if there are many batches.
        indices: Rows of the data set to use. By default, all.

    Raises:
        UserError: If there are no samples or a feature is not finite.
    """
    rows = list(range(len(dataset.ids))) if indices is None else [int(i) for i in indices]
    if batch_size < 1:
        raise UserError(f'batch size must be at least 1, got {batch_size}')
    if not rows:
        raise UserError(f'{getattr(dataset, "split", "data set")}: no samples to extract features from')
    if device is not None:
        model.to(device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    chunks = [rows[i:i + batch_size] for i in range(0, len(rows), batch_size)]
    feats = None
    made = deal(lambda chunk: _encode(model, dataset.__getitems__(chunk), str(dataset.ids[chunk[0]])), chunks)
    quiet = not progress or len(chunks) < 8 or not is_main_process()
    try:
        for i, some in enumerate(track(made, 'features', len(chunks), disable=quiet, transient=True)):
            if feats is None:
                feats = np.empty((len(rows), some.shape[1]), np.float32)
            feats[i * batch_size:i * batch_size + len(some)] = some
    finally:
        for module, mode in modes.items():
            module.training = mode
    assert feats is not None  # there is at least one row
    ids = [str(dataset.ids[i]) for i in rows]
    bad = np.flatnonzero(~np.isfinite(feats).all(1))
    if len(bad):
        raise UserError(f'sample {ids[bad[0]]}: its feature is not finite ({len(bad)} of {len(ids)} samples): '
                        'check the sample, and the checkpoint, for NaN')
    return Features(feats, np.asarray(dataset.labels, np.int64)[rows], ids, _subjects(dataset, rows))


def _subjects(dataset, rows) -> np.ndarray | None:
    subjects = getattr(dataset, 'subjects', None)
    return None if subjects is None else np.asarray(subjects, np.int64)[rows]


def _encode(model: Any, batch: dict, name: str) -> np.ndarray:
    """Return the features of a batch. If the model does not fit the clips, the error names the first sample."""
    shape = tuple(batch['inputs'].shape)
    try:
        batch = model.data_preprocessor(batch, False)
        frames = (batch.get('data_samples') or {}).get('num_frames')
        return model.extract_feat(batch['inputs'], frames).float().cpu().numpy()
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise UserError(f'sample {name}: the encoder fails on its batch of shape {shape}: {reason}') from error


@dataclass
class FeatureBank:
    """Features of the splits of a store. A clip in several splits is encoded only once.

    Args:
        model: The encoder.
        make_dataset: Maps the name of a split to its data set.
        batch_size, device, progress: As in :func:`extract_features`.
        max_samples: Maximum number of clips by split, evenly spaced.
    """
    model: nn.Module
    make_dataset: Callable
    batch_size: int = 256
    device: str | None = None
    progress: bool = True
    max_samples: Mapping[str, int | None] = field(default_factory=dict)
    seconds: float = 0.0
    num_classes: int = 0
    _feats: dict = field(default_factory=dict)
    _splits: dict = field(default_factory=dict)
    _rows: dict = field(default_factory=dict)

    def __getitem__(self, split: str) -> Features:
        if split not in self._splits:
            start = time.perf_counter()
            dataset = self.make_dataset(split)
            self._rows[split] = dataset, {str(name): row for row, name in enumerate(dataset.ids)}
            self.num_classes = max(self.num_classes, getattr(dataset, 'num_classes', 0) or 0)
            count = len(dataset.ids)
            kept = min(self.max_samples.get(split) or count, count)
            rows = np.arange(kept) * count // max(kept, 1)
            ids = [str(dataset.ids[row]) for row in rows]
            new = [row for row, name in zip(rows, ids, strict=True) if name not in self._feats]
            if new:
                made = extract_features(self.model, dataset, self.batch_size, self.device, self.progress, new)
                self._feats.update(zip(made.ids, made.feats, strict=True))
            feats = np.stack([self._feats[name] for name in ids]) if ids else np.empty((0, 0), np.float32)
            labels = np.asarray(dataset.labels, np.int64)[rows]
            self._splits[split] = Features(feats, labels, ids, _subjects(dataset, rows))
            self.seconds += time.perf_counter() - start
        return self._splits[split]

    def clips(self, ids: Sequence[str]) -> tuple:
        """Return a data set that contains these clips, and their rows in it.

        Only splits that were accessed before are searched.
        """
        for dataset, rows in self._rows.values():
            if all(name in rows for name in ids):
                return dataset, [rows[name] for name in ids]
        raise UserError('the requested clips belong to several splits')
