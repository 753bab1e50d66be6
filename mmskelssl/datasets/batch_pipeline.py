"""The deterministic pipeline over whole batches, on any device: instead of the cache, and in exports.

Each transform states what it does twice: ``transform`` for one clip in NumPy, and ``batch`` for many clips in torch.
The cache keeps the first, because its bits must not change, and because a clip of its own length needs no padding.
"""
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmskelssl.datasets.preprocessing import SAME_SHAPE, build_transform, preprocess_sample
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.transforms import PackSkeleton, PadFrames, PreNormalize3D, ResizeFrames, SelectPersons
from mmskelssl.datasets.transforms.clip_batch import ClipBatch, has_batch
from mmskelssl.errors import UserError

# Bytes of the padded clips that are prepared at once: one long clip must not enlarge all others of its batch. On a CPU
# they should fit into its cache; a device prefers few large groups.
MOST, MOST_ON_A_CPU = 64 << 20, 1 << 20


def without_batch(steps: Sequence[BaseTransform]) -> str | None:
    """Return the name of the first transform without a batched form, or None."""
    return next((type(step).__name__ for step in steps if not has_batch(step)), None)


def run_batch(steps: Sequence[BaseTransform], clips: ClipBatch) -> tuple[Tensor, Tensor]:
    """Prepare a batch as the transforms of a pipeline prepare its clips.

    Args:
        steps: Transforms with a batched form, ending with PackSkeleton.
        clips: The clips as stored.

    Returns:
        Clips (N, C, T, V, M) and their numbers of real frames (N,). Clips that a transform refuses, such as those
        without a body, are NaN.
    """
    for step in steps:
        clips = step.batch(clips)
    assert clips.num_frames is not None  # PackSkeleton sets it
    if clips.refused is None:
        return clips.x, clips.num_frames
    return torch.where(clips.refused.view(-1, 1, 1, 1, 1), torch.nan, clips.x), clips.num_frames


@dataclass(frozen=True)
class StoredClips:
    """Clips of a batch as they are stored, and the pipeline that prepares them, on any device.

    Args:
        groups: The clips, those of similar length together.
        place: (N,) int64, the place of each clip of the batch among those of the groups.
        steps: The transforms.
    """
    groups: list[ClipBatch]
    place: Tensor
    steps: Sequence[BaseTransform]

    def __len__(self) -> int:
        return len(self.place)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> 'StoredClips':
        """Return the clips on a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self, device=None) -> 'StoredClips':
        """Return the clips in pinned memory; torch's loader calls it."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, move) -> 'StoredClips':
        groups = [replace(group, **{name: move(value) for name, value in vars(group).items()
                                    if torch.is_tensor(value)}) for group in self.groups]
        return StoredClips(groups, move(self.place), self.steps)

    def prepared(self) -> tuple[Tensor, Tensor]:
        """Return what :func:`run_batch` returns, in the order of the batch."""
        made = [run_batch(self.steps, group) for group in self.groups]
        clips, frames = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*made, strict=True))
        return clips[self.place], frames[self.place]


class BatchPipeline:
    """Prepares clips of a store batch by batch.

    Args:
        store: Store with the clips.
        pipeline: Configs of transforms.

    Raises:
        UserError: A transform has no batched form, or the clips would differ in shape.
    """

    def __init__(self, store: SkeletonStore, pipeline: list[dict]):
        self.store, self.pipeline = store, pipeline
        self.transform = build_transform(pipeline)
        self.steps = self.transform.transforms
        if not self.steps or not isinstance(self.steps[-1], PackSkeleton):
            raise UserError('data.pipeline must end with dict(type="PackSkeleton")')
        missing = without_batch(self.steps)
        if missing:
            raise UserError(f"data.preprocess is 'batch', but the transform {missing} of data.pipeline has no batched "
                            "form: write data.preprocess='cache', or give it a method batch (docs/add_a_dataset.md)")
        kinds = [type(step) for step in self.steps]
        persons, frames = SelectPersons in kinds, bool({ResizeFrames, PadFrames} & {*kinds})
        if not persons and np.ptp(store.persons) or not frames and (PreNormalize3D in kinds or np.ptp(store.frames)):
            raise UserError(f'{store.path}: its clips may differ in shape after preprocessing: {SAME_SHAPE}')

    def stored(self, rows: np.ndarray, most: int = MOST) -> StoredClips:
        """Read clips.

        Args:
            rows: (N,) positions in the store.
            most: Bytes of a group of clips. A single clip may be larger.

        Raises:
            UserError: A clip is not finite.
        """
        frames, persons = self.store.frames[rows].astype(np.int64), self.store.persons[rows].astype(np.int64)
        order = np.argsort(frames, kind='stable')
        parts = list(_groups(frames[order], persons[order],
                             most // (self.store.layout.num_joints * self.store.channels * 4)))
        groups = [self._read(rows[order[part]], int(frames[order[part]].max()), int(persons[order[part]].max()))
                  for part in parts]
        return StoredClips(groups, torch.from_numpy(np.argsort(order)), self.steps)

    def _read(self, rows: np.ndarray, frames: int, persons: int) -> ClipBatch:
        store = self.store
        x = np.zeros((len(rows), persons, frames, store.layout.num_joints, store.channels), np.float32)
        scores = np.zeros(x.shape[:4], np.float32) if store.has_scores else None
        for i, row in enumerate(rows.tolist()):
            clip = store.keypoints(row)
            x[i, :clip.shape[0], :clip.shape[1]] = clip
            if scores is not None:
                scores[i, :clip.shape[0], :clip.shape[1]] = store.scores(row)
        if not np.isfinite(x).all():
            preprocess_sample(store, int(rows[np.isfinite(x).all((1, 2, 3, 4)).argmin()]), self.transform)  # refuses it
        return ClipBatch(torch.from_numpy(x).permute(0, 4, 2, 3, 1), store.layout,
                         torch.from_numpy(store.frames[rows].astype(np.int64)),
                         scores=None if scores is None else torch.from_numpy(scores).permute(0, 2, 3, 1).unsqueeze(1))

    def __call__(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return prepared clips (N, C, T, V, M) float32 and their numbers of real frames (N,).

        Args:
            rows: (N,) positions in the store.

        Raises:
            UserError: The pipeline fails on a clip. The message names it.
        """
        try:
            clips, frames = self.stored(rows, MOST_ON_A_CPU).prepared()
            failed = torch.nonzero(~clips.flatten(1).isfinite().all(1))[:, 0].tolist()
        except (UserError, IndexError, RuntimeError):
            for row in rows.tolist():  # the first one that fails is named
                preprocess_sample(self.store, row, self.transform)
            raise
        for i in failed:  # refused, unless the transform allows what its batched form does not
            sample = preprocess_sample(self.store, int(rows[i]), self.transform)
            clips[i], frames[i] = torch.from_numpy(sample['inputs']), sample['num_frames']
        return clips.contiguous(), frames


def _groups(frames: np.ndarray, persons: np.ndarray, most: int):
    """Yield slices of clips sorted by length, each of at most ``most`` frames when padded, or of a single clip."""
    start = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or (end + 1 - start) * int(frames[end]) * int(persons[start:end + 1].max()) > most:
            yield slice(start, end)
            start = end
