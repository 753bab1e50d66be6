"""Fills in joints that a pose estimator did not detect."""
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmskelssl.alignment import fill_over_time
from mmskelssl.datasets.transforms.clip_batch import ClipBatch
from mmskelssl.errors import UserError
from mmskelssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FillUnseen(BaseTransform):
    """Fill in missing joints by linear interpolation over time.

    A joint is present if its score is above ``score`` or, without scores, if it is not at the origin. Before the first
    and after the last frame with the joint, it keeps its position in that frame. Frames without the person, and joints
    that a person never shows, are not changed. Put this transform before ResizeFrames, which interpolates between
    joints that are present and joints that are not. The score of a filled-in joint does not change.

    Required keys: keypoint. Optional: scores (M, T, V), from a store with scores. Modified: keypoint.

    Args:
        score: Highest score of a joint that counts as missing.

    Raises:
        UserError: ``score`` is set but the store has no scores.
    """

    def __init__(self, score: float = 0.):
        if not 0 <= score < np.inf:
            raise UserError(f'FillUnseen: score must be a non-negative number, not {score}')
        self.score = score

    def transform(self, results: dict) -> dict:
        keypoint, scores = results['keypoint'], results.get('scores')
        at_origin = ~keypoint.any(-1)
        if scores is None and self.score:
            raise UserError(f'sample {results.get("frame_dir")}: FillUnseen(score={self.score:g}) needs a store with '
                            'scores: import the data again, or omit the score')
        if scores is not None and scores.shape != at_origin.shape:
            raise UserError(f'sample {results.get("frame_dir")}: scores of shape {scores.shape} for keypoints of shape '
                            f'{keypoint.shape}: put FillUnseen first in data.pipeline')
        seen = ~at_origin if scores is None else scores > self.score
        there = keypoint.any((2, 3))  # (M, T)
        holes = ~seen & there[..., None] & seen.any(1, keepdims=True)
        results['keypoint'] = filled = keypoint.copy()
        for person, joint in np.argwhere(holes.any(1)):
            gap, known = (np.flatnonzero(which[person, :, joint]) for which in (holes, seen))
            for channel in range(keypoint.shape[-1]):
                filled[person, gap, joint, channel] = np.interp(gap, known, keypoint[person, known, joint, channel])
        return results

    def batch(self, clips: ClipBatch) -> ClipBatch:
        x, scores = clips.x, clips.scores
        if scores is None and self.score:
            raise UserError(f'FillUnseen(score={self.score:g}) needs a store with scores: import the data again, or '
                            'omit the score')
        there = (x != 0).any(1)  # (N, T, V, M)
        seen = there if scores is None else scores[:, 0] > self.score
        holes = ~seen & there.any(2, keepdim=True) & seen.any(1, keepdim=True)
        filled = fill_over_time(x.double().flatten(3), seen.flatten(2)).view(x.shape)  # as exact as np.interp
        return clips.having(x=torch.where(holes[:, None], filled.to(x.dtype), x))
