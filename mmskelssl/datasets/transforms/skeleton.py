"""Deterministic transforms. A sample is a dict with these keys:

- keypoint (M, T, V, C) float32, total_frames (int), frame_dir (sample id), layout (SkeletonLayout).
- num_frames (int): number of real frames, which come first. The first transform that needs it adds it.
- scores (M, T, V) float32, only for stores with scores. Transforms that select, reorder or resample persons and frames
  do the same with the scores. The other transforms do not change them.

``batch`` of a transform does the same with many clips at once, on any device
(:class:`~mmskelssl.datasets.transforms.clip_batch.ClipBatch`). ``transform`` states what happens to a clip; tests
compare the two. A transform of a plug-in may have a ``batch`` as well.
"""
from collections.abc import Callable

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmskelssl.alignment import align_sequence, align_shoulders, centre_frames
from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.datasets.transforms.frames import valid_frames, within
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS
from mmskelssl.tracing import exporting

MAX_PERSONS = 32  # of a preprocessed clip; a checkpoint could request any number


def _as_clip(keypoint: np.ndarray) -> Tensor:
    """Convert an array (M, T, V, C) to a tensor (1, C, T, V, M)."""
    return torch.from_numpy(np.ascontiguousarray(keypoint)).permute(3, 1, 2, 0).unsqueeze(0)


def _as_keypoint(clip: Tensor) -> np.ndarray:
    return np.ascontiguousarray(clip[0].permute(3, 1, 2, 0).numpy())


def _scores_of(results: dict) -> Tensor | None:
    """Return the scores as a tensor (1, 1, T, V, M), or None if the sample has none.

    Raises:
        UserError: A transform outside this package changed the shape of the keypoints only.
    """
    scores = results.get('scores')
    if scores is None:
        return None
    if scores.shape != results['keypoint'].shape[:3]:
        raise UserError(f'sample {results.get("frame_dir")}: scores of shape {scores.shape} for keypoints of shape '
                        f'{results["keypoint"].shape}: a transform of data.pipeline must change results["scores"] '
                        'together with results["keypoint"]')
    return _as_clip(scores[..., None])


@TRANSFORMS.register_module()
class SelectPersons(BaseTransform):
    """Keep a fixed number of persons. Missing persons are filled with zeros.

    Required and modified keys: keypoint. Optional: scores.

    Args:
        max_persons: Number of persons M.
        by: ``file-order`` keeps the first persons who are present (AimCLR lineage); ``energy`` keeps those who move
            most while they are visible.
    """

    def __init__(self, max_persons: int = 2, by: str = 'file-order'):
        if by not in ('file-order', 'energy'):
            raise UserError(f"SelectPersons: by must be 'file-order' or 'energy', not {by!r}")
        self.max_persons, self.by = within('SelectPersons: max_persons', max_persons, MAX_PERSONS), by

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        if len(keypoint) == 1:
            order = np.arange(1)
        elif self.by == 'file-order':
            order = np.argsort(~keypoint.any((1, 2, 3)), kind='stable')
        else:
            there = keypoint.any((2, 3))  # (M, T)
            energy = [clip[seen].std(0).sum() if seen.any() else 0 for clip, seen in zip(keypoint, there, strict=True)]
            order = np.argsort(np.negative(energy), kind='stable')
        order = order[:self.max_persons]
        for key in {'keypoint', 'scores'} & set(results):
            # np.pad is avoided: for such small arrays it takes longer than all other steps of the pipeline.
            padded = np.zeros((self.max_persons, *results[key].shape[1:]), results[key].dtype)
            padded[:len(order)] = results[key][order]
            results[key] = padded
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        select = self._order(clips.x)
        return clips.having(x=select(clips.x), scores=None if clips.scores is None else select(clips.scores))

    def _order(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function that selects persons, in the order of ``transform``. Sorting could not be exported."""
        if not exporting() and x.shape[4] == self.max_persons == 1:
            return lambda x: x
        seen = (x != 0).any(3, keepdim=True).any(1, keepdim=True).to(x.dtype)  # (N, 1, T, 1, M)
        value = seen.amax((1, 2, 3)) if self.by == 'file-order' else _energy(x, seen)  # (N, M)
        # The rank of each person: how many have a higher value, or the same and come first.
        place = torch.arange(x.shape[4], device=x.device)
        ahead = (value[:, :, None] > value[:, None]) | ((value[:, :, None] == value[:, None]) &
                                                        (place[:, None] < place))
        rank = ahead.sum(1)[:, None]  # (N, 1, M)
        chosen = (torch.arange(self.max_persons, device=x.device)[:, None] == rank).to(x.dtype)  # rows of one 1 or none
        return lambda x: torch.einsum('nkm,nmtvc->nktvc', chosen, x.permute(0, 4, 2, 3, 1)).permute(0, 4, 2, 3, 1)


def _energy(x: Tensor, seen: Tensor) -> Tensor:
    """Return how much each person of clips (N, C, T, V, M) moves (N, M) in the frames ``seen`` (N, 1, T, 1, M)."""
    count = seen.sum(2, keepdim=True).clamp(min=1)
    mean = (x * seen).sum(2, keepdim=True) / count
    return (((x - mean).square() * seen).sum(2) / count[:, :, 0]).sqrt().sum((1, 2))


@TRANSFORMS.register_module()
class Center(BaseTransform):
    """Subtract a joint's position in each frame and for each person (:func:`centre_frames`).

    Required keys: keypoint, layout. Optional: scores. Modified: keypoint. Added: num_frames.

    Args:
        joint: Joint index. Default: the layout's centre joint.
        keep_height: Subtract it horizontally only, for clips whose y is 0 at the ground, such as motion capture.
    """

    def __init__(self, joint: int | None = None, keep_height: bool = False):
        self.joint, self.keep_height = joint, keep_height

    def transform(self, results: dict) -> dict:
        results.setdefault('num_frames', valid_frames(results))  # count first: centring may set joint 0 to zero
        clip = centre_frames(_as_clip(results['keypoint']), results['layout'], self.joint, _scores_of(results),
                             self.keep_height)
        results['keypoint'] = _as_keypoint(clip)
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        clips = clips.counted()
        return clips.having(x=centre_frames(clips.x, clips.layout, self.joint, clips.scores, self.keep_height))


@TRANSFORMS.register_module()
class AlignShoulders(BaseTransform):
    """Rotate every frame to the front (:func:`align_shoulders`).

    Required keys: keypoint, layout. Optional: scores. Modified: keypoint.
    """

    def transform(self, results: dict) -> dict:
        clip = align_shoulders(_as_clip(results['keypoint']), results['layout'], _scores_of(results))
        results['keypoint'] = _as_keypoint(clip)
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        return clips.having(x=align_shoulders(clips.x, clips.layout, clips.scores, clips.inside()))


@TRANSFORMS.register_module()
class AlignSequence(BaseTransform):
    """Translate and rotate the whole clip rigidly (:func:`align_sequence`).

    Required keys: keypoint, layout. Optional: scores. Modified: keypoint. Added: num_frames.

    Args:
        turn: Rotate the clip to the front. If False, only translate it.
        middle: Place the origin midway between the persons instead of at the first person's hip.
        joint: Index of a joint to use instead of the hip.
    """

    def __init__(self, turn: bool = True, middle: bool = False, joint: int | None = None):
        self.turn, self.middle, self.joint = turn, middle, joint

    def transform(self, results: dict) -> dict:
        results.setdefault('num_frames', valid_frames(results))
        clip = align_sequence(_as_clip(results['keypoint']), results['layout'], self.turn, self.middle,
                              _scores_of(results), self.joint)
        results['keypoint'] = _as_keypoint(clip)
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        clips = clips.counted()
        return clips.having(x=align_sequence(clips.x, clips.layout, self.turn, self.middle, clips.scores, self.joint))


@TRANSFORMS.register_module()
class FitRange(BaseTransform):
    """Scale each clip to the largest absolute coordinate ``limit``, for models with outputs in (-1, 1) such as a GRU.

    One factor applies to all axes, frames and persons. It keeps proportions but loses the size of the body.
    Required and modified keys: keypoint.
    """

    def __init__(self, limit: float = 0.95):
        if limit <= 0:
            raise UserError(f'FitRange: limit must be positive, not {limit}')
        self.limit = limit

    def transform(self, results: dict) -> dict:
        largest = np.abs(results['keypoint']).max(initial=0)
        if largest > 0:
            results['keypoint'] = results['keypoint'] * np.float32(self.limit / largest)
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        largest = clips.x.abs().flatten(1).amax(1)
        factor = torch.where(largest > 0, self.limit / largest, torch.ones_like(largest))
        return clips.having(x=clips.x * factor.view(-1, 1, 1, 1, 1))


@TRANSFORMS.register_module()
class PackSkeleton(BaseTransform):
    """End a pipeline. Required keys: keypoint. Added: inputs (C, T, V, M) float32, num_frames.

    Args:
        scores: Append the scores to the coordinates as a last channel. ``data.scores`` sets it.
    """

    def __init__(self, scores: bool = False):
        self.scores = scores

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        if self.scores:
            if _scores_of(results) is None:
                raise UserError(f'sample {results.get("frame_dir")}: there are no scores, but data.scores is True')
            keypoint = np.concatenate([keypoint, results['scores'][..., None]], -1)
        frames = results.get('num_frames', keypoint.shape[1])
        inputs = np.ascontiguousarray(keypoint.transpose(3, 1, 2, 0), np.float32)
        return dict(inputs=inputs, num_frames=min(frames, keypoint.shape[1]))

    def batch(self, clips: ClipBatch) -> ClipBatch:
        count = clips.lengths if clips.num_frames is None else torch.minimum(clips.num_frames, clips.lengths)
        if not self.scores:
            return clips.having(num_frames=count)
        if clips.scores is None:
            raise UserError('there are no scores, but data.scores is True')
        return clips.having(x=torch.cat([clips.x, clips.scores], 1), num_frames=count)
