"""Features of clips, extracted once: the encoder is frozen, so every protocol can share them."""
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import nn

from mmskelssl.errors import UserError


@dataclass(frozen=True)
class Features:
    """Features of N clips.

    Args:
        feats: (N, D) float32.
        labels: (N,) int64, -1 where unknown.
        ids: N sample names.
    """
    feats: np.ndarray
    labels: np.ndarray
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows) -> 'Features':
        """The clips at these rows."""
        return Features(self.feats[rows], self.labels[rows], [self.ids[i] for i in rows])


@torch.no_grad()
def extract_features(model: nn.Module, dataset, batch_size: int = 256, device: str | torch.device | None = None,
                     progress: bool = True, indices=None) -> Features:
    """Run a model over a data set: eval mode, no augmentation, no gradient. The model's mode is put back.

    Args:
        model: Has ``data_preprocessor`` and ``extract_feat(inputs, num_frames)`` -> (N, D).
        dataset: A :class:`SkeletonDataset`, or anything with ``__getitems__``, ``labels`` and ``ids``.
        device: Where to run; default where the model is.
        progress: Show a bar when there are many batches.
        indices: Rows of the data set to take; default all.
    """
    rows = list(range(len(dataset.ids))) if indices is None else [int(i) for i in indices]
    if not rows:
        raise UserError(f'{getattr(dataset, "split", "data set")}: no samples to extract features from')
    if device is not None:
        model.to(device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    chunks = [rows[i:i + batch_size] for i in range(0, len(rows), batch_size)]
    feats = None
    try:
        for i, chunk in enumerate(track(chunks, 'features', disable=not progress or len(chunks) < 8, transient=True)):
            batch = model.data_preprocessor(dataset.__getitems__(chunk), False)
            frames = (batch.get('data_samples') or {}).get('num_frames')
            made = model.extract_feat(batch['inputs'], frames).float().cpu().numpy()
            if feats is None:
                feats = np.empty((len(rows), made.shape[1]), np.float32)
            feats[i * batch_size:i * batch_size + len(chunk)] = made
    finally:
        for module, mode in modes.items():
            module.training = mode
    ids = [str(dataset.ids[i]) for i in rows]
    bad = np.flatnonzero(~np.isfinite(feats).all(1))
    if len(bad):
        raise UserError(f'sample {ids[bad[0]]}: its feature is not finite ({len(bad)} of {len(ids)} samples): '
                        'check the sample, and the checkpoint, for NaN')
    return Features(feats, np.asarray(dataset.labels, np.int64)[rows], ids)
