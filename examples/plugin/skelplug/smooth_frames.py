"""A deterministic transform: a moving average against the jitter of a depth camera."""
import numpy as np
from mmcv.transforms import BaseTransform
from torch.nn import functional as F

from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SmoothFrames(BaseTransform):
    """Average each frame with its neighbours. At both ends, average those that exist.

    Required and modified keys: keypoint (M, T, V, C).

    Args:
        width: Number of frames that are averaged, odd.
    """

    def __init__(self, width: int = 3):
        if width < 1 or width % 2 == 0:
            raise UserError(f'SmoothFrames: width must be odd and at least 1, not {width}')
        self.width = width

    def transform(self, results: dict) -> dict:
        keypoint = results['keypoint']
        reach, frames = self.width // 2, keypoint.shape[1]
        total, count = np.zeros_like(keypoint), np.zeros(frames, np.float32)
        for shift in range(-reach, reach + 1):
            to, source = slice(max(0, -shift), frames - max(0, shift)), slice(max(0, shift), frames - max(0, -shift))
            total[:, to] += keypoint[:, source]
            count[to] += 1
        results['keypoint'] = total / count[:, None, None]
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        """The same for many clips at once (``data.preprocess``); optional. A clip is all zeros after its end."""
        reach = self.width // 2
        there = clips.inside().to(clips.x.dtype)[:, None, :, None, None]
        total, count = (F.pad(x, (0, 0, 0, 0, reach, reach)).unfold(2, self.width, 1).sum(-1)
                        for x in (clips.x, there))
        return clips.having(x=total / count.clamp(min=1) * there)
