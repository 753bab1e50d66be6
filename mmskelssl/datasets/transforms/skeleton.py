"""Deterministic transforms. A sample is a dict with these keys:

- keypoint (M, T, V, C) float32, total_frames (int), frame_dir (sample id), layout (SkeletonLayout).
- num_frames (int): number of real frames, which come first. The first transform that needs it adds it.
- scores (M, T, V) float32, only for stores with scores. Transforms that select, reorder or resample persons and frames
  do the same with the scores. The other transforms do not change them.
"""
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmskelssl.alignment import align_sequence, align_shoulders, centre_frames
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS

MAX_FRAMES, MAX_PERSONS = 1 << 14, 32  # of a preprocessed clip; a checkpoint could request any number


def _within(what: str, value: int, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise UserError(f'{what} is {value!r}; it must be an integer from 1 to {largest}')
    return value


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
        by: ``file-order`` keeps the first persons (AimCLR lineage); ``energy`` keeps those who move most while they
            are visible.
    """

    def __init__(self, max_persons: int = 2, by: str = 'file-order'):
        if by not in ('file-order', 'energy'):
            raise UserError(f"SelectPersons: by must be 'file-order' or 'energy', not {by!r}")
        self.max_persons, self.by = _within('SelectPersons: max_persons', max_persons, MAX_PERSONS), by

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        order = np.arange(len(keypoint))
        if self.by == 'energy':
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


@TRANSFORMS.register_module()
class Center(BaseTransform):
    """Subtract a joint's position in each frame and for each person (:func:`centre_frames`).

    Required keys: keypoint, layout. Optional: scores. Modified: keypoint. Added: num_frames.

    Args:
        joint: Joint index. Default: the layout's centre joint.
    """

    def __init__(self, joint: int | None = None):
        self.joint = joint

    def transform(self, results: dict) -> dict:
        results.setdefault('num_frames', valid_frames(results))  # count first: centring may set joint 0 to zero
        clip = centre_frames(_as_clip(results['keypoint']), results['layout'], self.joint, _scores_of(results))
        results['keypoint'] = _as_keypoint(clip)
        return results


@TRANSFORMS.register_module()
class AlignShoulders(BaseTransform):
    """Rotate every frame to the front (:func:`align_shoulders`).

    Required keys: keypoint, layout. Optional: scores. Modified: keypoint.
    """

    def transform(self, results: dict) -> dict:
        clip = align_shoulders(_as_clip(results['keypoint']), results['layout'], _scores_of(results))
        results['keypoint'] = _as_keypoint(clip)
        return results


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


def valid_frames(results: dict) -> int:
    """Count the frames in which joint 0 of the first person is not at the origin, as the published preprocessing does.

    A gap inside a clip therefore shortens the clip. If the joint is never visible, all frames count.

    Raises:
        UserError: All coordinates of the sample are zero.
    """
    if not results['keypoint'].any():
        raise UserError(f'sample {results.get("frame_dir")}: every coordinate is zero, there is no body in it')
    count = int((np.abs(results['keypoint'][0, :, 0]).sum(-1) != 0).sum())
    return count or results['keypoint'].shape[1]


@TRANSFORMS.register_module()
class ResizeFrames(BaseTransform):
    """Resize the valid frames to T by linear interpolation at half-pixel centres (docs/methods.md 0.1 step 4).

    Required keys: keypoint. Optional: scores. Modified: keypoint, scores, total_frames, num_frames. All new frames
    count as real.
    """

    def __init__(self, frames: int = 50):
        self.frames = _within('ResizeFrames: frames', frames, MAX_FRAMES)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        length = results.get('num_frames') or valid_frames(results)
        position = ((np.arange(self.frames) + 0.5) * length / self.frames - 0.5).clip(0, length - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = (position - low).astype(keypoint.dtype)[None, :, None, None]
        results['keypoint'] = keypoint[:, low] * (1 - weight) + keypoint[:, high] * weight
        if 'scores' in results:
            scores, weight = results['scores'], weight[..., 0]
            results['scores'] = scores[:, low] * (1 - weight) + scores[:, high] * weight
        results['total_frames'] = results['num_frames'] = self.frames
        return results


@TRANSFORMS.register_module()
class PadFrames(BaseTransform):
    """Keep the first T frames and pad shorter clips with zeros, for encoders that use the true length.

    Required keys: keypoint. Optional: scores. Modified: keypoint, scores, total_frames, num_frames (up to the last
    frame with a body).
    """

    def __init__(self, frames: int = 300):
        self.frames = _within('PadFrames: frames', frames, MAX_FRAMES)

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint'][:, :self.frames]
        bodies = np.flatnonzero(keypoint.any((0, 2, 3)))
        if not len(bodies):
            raise UserError(f'sample {results.get("frame_dir")}: no body in its first {self.frames} frames')
        results['num_frames'] = int(bodies[-1]) + 1
        missing = self.frames - keypoint.shape[1]
        results['keypoint'] = np.pad(keypoint, ((0, 0), (0, missing), (0, 0), (0, 0)))
        if 'scores' in results:
            results['scores'] = np.pad(results['scores'][:, :self.frames], ((0, 0), (0, missing), (0, 0)))
        results['total_frames'] = self.frames
        return results


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
