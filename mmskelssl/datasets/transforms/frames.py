"""Transforms that change the number of frames."""
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS

MAX_FRAMES = 1 << 14  # of a preprocessed clip; a checkpoint could request any number


def within(what: str, value: int, largest: int) -> int:
    """Return ``value``, or raise a UserError unless it is an integer from 1 to ``largest``."""
    if type(value) is not int or not 1 <= value <= largest:
        raise UserError(f'{what} is {value!r}; it must be an integer from 1 to {largest}')
    return value


def valid_frames(results: dict) -> int:
    """Count the frames in which joint 0 of the first person is not at the origin, as the published preprocessing does.

    A gap inside a clip therefore shortens the clip. If the joint is never visible, all frames count.

    Raises:
        UserError: All coordinates of the sample are zero.
    """
    if not results['keypoint'].any():
        raise UserError(f'sample {results.get("frame_dir")}: every coordinate is zero, there is no body in it: '
                        'leave it out')
    count = int((np.abs(results['keypoint'][0, :, 0]).sum(-1) != 0).sum())
    return count or results['keypoint'].shape[1]


@TRANSFORMS.register_module()
class ResizeFrames(BaseTransform):
    """Resize the valid frames to T by linear interpolation at half-pixel centres (docs/methods.md 0.1 step 4).

    Required keys: keypoint. Optional: scores. Modified: keypoint, scores, total_frames, num_frames. All new frames
    count as real.
    """

    def __init__(self, frames: int = 50):
        self.frames = within('ResizeFrames: frames', frames, MAX_FRAMES)

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

    def batch(self, clips: ClipBatch) -> ClipBatch:
        clips = clips.counted()
        assert clips.num_frames is not None
        length = clips.num_frames[:, None]
        position = (torch.arange(self.frames, dtype=torch.float64, device=length.device) + 0.5) * length / self.frames
        position = torch.minimum((position - 0.5).clamp(min=0), (length - 1).double())
        low = position.floor().long()  # (N, T')
        high, clip = torch.minimum(low + 1, length - 1), torch.arange(len(low), device=low.device)[:, None]
        weight = (position - low).to(clips.x.dtype)[:, :, None, None, None]

        def resized(x: torch.Tensor) -> torch.Tensor:
            x = x.transpose(1, 2)
            return (x[clip, low] * (1 - weight) + x[clip, high] * weight).transpose(1, 2)

        frames = torch.full_like(clips.num_frames, self.frames)
        return clips.having(x=resized(clips.x), lengths=frames, num_frames=frames,
                            scores=None if clips.scores is None else resized(clips.scores))


@TRANSFORMS.register_module()
class PadFrames(BaseTransform):
    """Keep the first T frames and pad shorter clips with zeros, for encoders that use the true length.

    Required keys: keypoint. Optional: scores. Modified: keypoint, scores, total_frames, num_frames (up to the last
    frame with a body).
    """

    def __init__(self, frames: int = 300):
        self.frames = within('PadFrames: frames', frames, MAX_FRAMES)

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

    def batch(self, clips: ClipBatch) -> ClipBatch:
        def padded(x: torch.Tensor) -> torch.Tensor:
            n, c, _, v, m = x.shape
            return torch.cat([x, x.new_zeros(n, c, self.frames, v, m)], 2)[:, :, :self.frames]

        x = padded(clips.x)
        body = (x != 0).any(4).any(3).any(1)  # (N, T)
        last = (body * torch.arange(1, self.frames + 1, device=x.device)).amax(1)
        return clips.having(x=x, lengths=torch.full_like(last, self.frames), num_frames=last.clamp(min=1),
                            scores=None if clips.scores is None else padded(clips.scores)).refusing(last == 0)
