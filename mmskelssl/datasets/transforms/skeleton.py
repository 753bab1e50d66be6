"""Deterministic transforms. A sample is a dict with

    keypoint (M, T, V, C) float32, total_frames (int), frame_dir (its id), layout (SkeletonLayout),
    num_frames (int), from the first transform on that asks: the real frames, which stand at the beginning,
    scores (M, T, V) float32, of a store that has them, as they are in the store.
"""
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmskelssl.alignment import align_sequence, align_shoulders, centre_frames
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS

MAX_FRAMES, MAX_PERSONS = 1 << 14, 32  # of a preprocessed clip: a checkpoint may ask for any number


def _within(what: str, value: int, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise UserError(f'{what} is {value!r}; it is a whole number from 1 to {largest}')
    return value


def _as_clip(keypoint: np.ndarray) -> Tensor:
    """(M, T, V, C) array -> (1, C, T, V, M) tensor."""
    return torch.from_numpy(np.ascontiguousarray(keypoint)).permute(3, 1, 2, 0).unsqueeze(0)


def _as_keypoint(clip: Tensor) -> np.ndarray:
    return np.ascontiguousarray(clip[0].permute(3, 1, 2, 0).numpy())


@TRANSFORMS.register_module()
class SelectPersons(BaseTransform):
    """Keep a fixed number of persons, adding all-zero ones where there are fewer.

    Required and modified keys: keypoint.

    Args:
        max_persons: M.
        by: ``file-order`` takes the first ones (AimCLR lineage); ``energy`` those who move most while they
            are there.
    """

    def __init__(self, max_persons: int = 2, by: str = 'file-order'):
        if by not in ('file-order', 'energy'):
            raise UserError(f"SelectPersons: by must be 'file-order' or 'energy', not {by!r}")
        self.max_persons, self.by = _within('SelectPersons: max_persons', max_persons, MAX_PERSONS), by

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        if self.by == 'energy':
            there = keypoint.any((2, 3))  # (M, T)
            energy = [clip[seen].std(0).sum() if seen.any() else 0 for clip, seen in zip(keypoint, there, strict=True)]
            keypoint = keypoint[np.argsort(np.negative(energy), kind='stable')]
        keypoint = keypoint[:self.max_persons]
        # Not np.pad, which for so small an array takes longer than the rest of the pipeline's steps.
        results['keypoint'] = np.zeros((self.max_persons, *keypoint.shape[1:]), keypoint.dtype)
        results['keypoint'][:len(keypoint)] = keypoint
        return results


@TRANSFORMS.register_module()
class Center(BaseTransform):
    """Subtract a joint from each frame and person (:func:`centre_frames`).

    Required keys: keypoint, layout. Modified: keypoint. Added: num_frames.

    Args:
        joint: Index; default the layout's centre joint.
    """

    def __init__(self, joint: int | None = None):
        self.joint = joint

    def transform(self, results: dict) -> dict:
        results.setdefault('num_frames', valid_frames(results))  # a centred joint 0 could be zero by chance
        results['keypoint'] = _as_keypoint(centre_frames(_as_clip(results['keypoint']), results['layout'], self.joint))
        return results


@TRANSFORMS.register_module()
class AlignShoulders(BaseTransform):
    """Turn every frame to the front (:func:`align_shoulders`). Required keys: keypoint, layout. Modified: keypoint."""

    def transform(self, results: dict) -> dict:
        results['keypoint'] = _as_keypoint(align_shoulders(_as_clip(results['keypoint']), results['layout']))
        return results


@TRANSFORMS.register_module()
class AlignSequence(BaseTransform):
    """Move and turn the whole clip rigidly (:func:`align_sequence`).

    Required keys: keypoint, layout. Modified: keypoint. Added: num_frames.

    Args:
        turn: Turn the clip to the front; without, it is moved only.
        middle: Put the origin half-way between the persons instead of at the first one's hip.
    """

    def __init__(self, turn: bool = True, middle: bool = False):
        self.turn, self.middle = turn, middle

    def transform(self, results: dict) -> dict:
        results.setdefault('num_frames', valid_frames(results))
        clip = align_sequence(_as_clip(results['keypoint']), results['layout'], self.turn, self.middle)
        results['keypoint'] = _as_keypoint(clip)
        return results


def valid_frames(results: dict) -> int:
    """Frames in which joint 0 of the first person is not at the origin, counted as in the published preprocessing.

    A gap inside a clip therefore shortens it. Where that joint is never seen, all frames count.
    """
    if not results['keypoint'].any():
        raise UserError(f'sample {results.get("frame_dir")}: every coordinate is zero, there is no body in it')
    count = int((np.abs(results['keypoint'][0, :, 0]).sum(-1) != 0).sum())
    return count or results['keypoint'].shape[1]


@TRANSFORMS.register_module()
class ResizeFrames(BaseTransform):
    """Resize the valid frames to T by linear interpolation at half-pixel centres (docs/methods.md 0.1 step 4).

    Required keys: keypoint. Modified: keypoint, total_frames, num_frames: all of the new frames are real.
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
        results['total_frames'] = results['num_frames'] = self.frames
        return results


@TRANSFORMS.register_module()
class PadFrames(BaseTransform):
    """Keep the first T frames, adding zero frames where there are fewer, for encoders that take the true length.

    Required keys: keypoint. Modified: keypoint, total_frames, num_frames: up to the last frame with a body, at most T.
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
        results['total_frames'] = self.frames
        return results


@TRANSFORMS.register_module()
class FitRange(BaseTransform):
    """Scale each clip so that its largest absolute coordinate is ``limit``: for targets in (-1, 1), as a GRU makes.

    One factor for all axes, frames and persons: nothing is distorted, but the size of the body is lost.
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
    """Last of a pipeline. Required keys: keypoint. Added: inputs (C, T, V, M) float32, num_frames."""

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        frames = results.get('num_frames', keypoint.shape[1])
        inputs = np.ascontiguousarray(keypoint.transpose(3, 1, 2, 0), np.float32)
        return dict(inputs=inputs, num_frames=min(frames, keypoint.shape[1]))
