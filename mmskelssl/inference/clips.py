"""Clips in memory or in a store, prepared for an encoder when they are read."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmcv.transforms import Compose

from mmskelssl.datasets.importers.third import check_metres
from mmskelssl.datasets.preprocessing import check_shape, run_transform
from mmskelssl.datasets.store.mend import unmasked
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout

Keypoints = tuple[np.ndarray, np.ndarray | None]  # (M, T, V, C) and, if known, scores (M, T, V)


@dataclass(frozen=True)
class ClipSet:
    """N clips of one kind.

    Args:
        ids: N names.
        read: Maps the number of a clip to its keypoints (M, T, V, C) float32 and scores (M, T, V) or None.
        layout: Skeleton layout.
        channels: Number of coordinates of a joint, C.
        fps: Frames per second, or None if unknown.
        labels: (N,) classes, -1 if unknown.
        classes: Names of the labels, if known.
    """
    ids: Sequence[str]
    read: Callable[[int], Keypoints]
    layout: SkeletonLayout
    channels: int
    fps: float | None = None
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)


def clips_in_memory(clips, layout: SkeletonLayout, channels: int, fps: float | None = None,
                    ids: Sequence[str] | None = None, scores: bool = False) -> ClipSet:
    """Check clips in memory.

    Args:
        clips: A list of arrays (T, V, C) or (M, T, V, C), or one array (N, T, V, C) or (N, M, T, V, C).
        layout, channels: The kind of clips that is expected.
        fps: Frames per second, or None if unknown.
        ids: Names. By default, ``clip 0`` and so on.
        scores: Whether each joint has C + 1 numbers, the last of which is its score.

    Raises:
        UserError: If there are no clips, or one does not fit. The message contains its name.
    """
    shape = getattr(clips, 'shape', None)
    if shape is not None and len(shape) not in (4, 5):
        raise UserError(f'clips: an array of shape {tuple(shape)}, expected (N, T, V, C) or (N, M, T, V, C); put a '
                        'single clip into a list')
    try:
        given = [] if isinstance(clips, str | bytes | Mapping) else list(clips)
    except TypeError:
        given = []
    if not given and not (isinstance(clips, Sequence | np.ndarray) and not isinstance(clips, str | bytes)):
        raise UserError(f'clips: expected a list of arrays, got {type(clips).__name__}')
    if not given:
        raise UserError('clips: expected at least one clip, got none')
    names = [f'clip {i}' for i in range(len(given))] if ids is None else list(ids)
    if len(names) != len(given):
        raise UserError(f'clips: {len(names)} ids for {len(given)} clips')
    checked = [check_clip(clip, layout, channels, name, scores) for clip, name in zip(given, names, strict=True)]

    def read(i: int) -> Keypoints:
        return (checked[i][..., :-1], checked[i][..., -1]) if scores else (checked[i], None)

    return ClipSet(names, read, layout, channels, fps)


def clips_of_store(store: SkeletonStore, split: str = 'all', fps: float | None = None) -> ClipSet:
    """Return the clips of a split of a store. ``fps`` applies where the store does not contain its frame rate."""
    rows = store.split(split)

    def read(i: int) -> Keypoints:
        row = int(rows[i])
        return store.keypoints(row), store.scores(row)

    return ClipSet([store.ids[row] for row in rows], read, store.layout, store.channels, store.head.get('fps') or fps,
                   store.labels[rows], store.classes)


def check_clip(clip, layout: SkeletonLayout, channels: int, name: str, scores: bool = False) -> np.ndarray:
    """Return a clip as (M, T, V, C) float32, or (M, T, V, C + 1) with ``scores``, without a copy if possible."""
    try:
        clip = np.asarray(unmasked(clip))
    except (RuntimeError, TypeError, ValueError) as error:  # torch tensors can raise any of them
        raise UserError(f'{name} is not an array: {error}') from error
    if clip.dtype.kind not in 'fiu':
        raise UserError(f'{name} is an array of {clip.dtype}, not of numbers')
    joints = layout.num_joints, channels + scores
    if clip.ndim not in (3, 4) or clip.shape[-2:] != joints or not clip.size:
        frames = '(T, {0}, {1}) or (M, T, {0}, {1})'.format(*joints)
        raise UserError(f'{name} has shape {clip.shape}, expected {frames} with one frame or more: the joints of '
                        f'layout {layout.name!r} and their coordinates' + (', followed by the score' if scores else ''))
    with np.errstate(over='ignore'):  # overflow is reported as not finite below
        clip = np.asarray(clip if clip.ndim == 4 else clip[None], np.float32)
    if not np.isfinite(clip).all():  # check now, not after hours of processing other clips
        raise UserError(f'{name} contains NaN or Inf; fill its gaps first (mmskelssl.datasets.store.mend.fill_gaps)')
    return clip


class PreparedClips:
    """Clips as a data set for :func:`~mmskelssl.evaluation.features.extract_features`, prepared batch by batch.

    Args:
        clips: The clips.
        transform: The encoder's pipeline, see :func:`~mmskelssl.engine.rebuild.build_pipeline`.
        layout: The encoder's layout.
        change: Changes keypoints and scores before the pipeline, such as to another layout or frame rate.
        metres: Whether to refuse clips whose unit cannot be metres.
    """

    def __init__(self, clips: ClipSet, transform: Compose, layout: SkeletonLayout,
                 change: Callable[[Keypoints], Keypoints] | None = None, metres: bool = False):
        self.clips, self.transform, self.layout, self.change, self.metres = clips, transform, layout, change, metres
        self.ids = list(clips.ids)
        self.labels = np.full(len(clips), -1) if clips.labels is None else clips.labels
        self.shape: tuple | None = None

    def __getitems__(self, rows: list[int]) -> dict:
        samples = [self._prepare(i) for i in rows]
        self.shape = self.shape or samples[0]['inputs'].shape
        for i, sample in zip(rows, samples, strict=True):
            check_shape(self.ids[i], sample['inputs'].shape, self.shape)
        return dict(inputs=torch.from_numpy(np.stack([sample['inputs'] for sample in samples])),
                    data_samples=dict(num_frames=torch.tensor([sample['num_frames'] for sample in samples])))

    def _prepare(self, i: int) -> dict:
        keypoints, scores = self.clips.read(i)
        if self.metres:
            try:
                check_metres(keypoints)
            except ValueError as error:
                raise UserError(f'{self.ids[i]}: {error}; the encoder was trained in metres') from None
        if self.change is not None:
            keypoints, scores = self.change((keypoints, scores))
        return run_transform(self.transform, keypoints, self.layout, self.ids[i], self.ids[i], scores)
