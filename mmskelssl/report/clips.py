"""Pack clips for a page: whole millimetres at 15 frames per second, compressed, as text.

A page decodes a clip when it is played. The bytes of a clip are its millimetres as differences over time, first all low
bytes and then all high bytes, because slow movements then consist of runs of equal bytes. ``player.js`` reverses this.
"""
import base64
import copy
import zlib
from collections.abc import Iterable

import numpy as np

from mmskelssl.datasets.importers.third import body_size
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.visualization.browsing import evenly
from mmskelssl.visualization.skeleton import grows_up, seen_joints

FPS = 15  # of a page; clips with fewer frames per second keep all of them
USUAL_FPS = 30  # of clips whose rate is unknown
LONGEST = 20  # seconds of a clip
UNSEEN = -32768  # stands for a joint that was not seen
_LARGEST = 32767
_BODY = 1700  # millimetres; size of a typical body in data of unknown units
_SAMPLE = 64


class ClipPacker:
    """Packs the clips of one kind.

    Args:
        layout: Their skeleton.
        sample: Some of them, (M, T, V, C), from which units and the direction of y are inferred.
        units: Units of the coordinates, such as ``m``; '' if unknown.
        fps: Frames per second, or None if unknown.
    """

    def __init__(self, layout: SkeletonLayout, sample: Iterable[np.ndarray], units: str = '', fps: float | None = None):
        self.layout, self.fps_known = layout, bool(fps)
        self.source_fps = float(fps or USUAL_FPS)
        self.fps = min(FPS, self.source_fps)
        clips = [np.asarray(clip) for clip in sample]
        up = grows_up(clips, layout)
        flat = bool(clips) and clips[0].shape[-1] == 2
        self.up = 1 if (not flat if up is None else up) else -1
        sizes = [size for size in map(body_size, clips) if size > 0]
        self.scale = 1000. if units == 'm' else _BODY / float(np.median(sizes)) if sizes else 1.

    @classmethod
    def of_store(cls, store: SkeletonStore) -> 'ClipPacker':
        """Return a packer for the clips of a store."""
        return cls(store.layout, (store.keypoints(i) for i in evenly(_SAMPLE, len(store))), store.head.get('units', ''),
                   store.head.get('fps'))

    def for_every_frame(self) -> 'ClipPacker':
        """Return a packer that keeps every frame, for the short clips of a pipeline."""
        made = copy.copy(self)
        made.source_fps = made.fps = float(FPS)
        return made

    def within(self, total: int, most: int) -> 'ClipPacker':
        """Return a packer that shows a clip of ``total`` frames with about ``most`` frames, fewer per second."""
        made = copy.copy(self)
        made.fps = min(self.fps, self.source_fps * most / total)
        return made

    def frames(self, total: int, longest: float = LONGEST) -> np.ndarray:
        """Return the frames that a page shows of a clip with ``total`` frames."""
        count = min(total, int(longest * self.source_fps))
        return np.minimum(np.arange(0, count, self.source_fps / self.fps).round().astype(int), total - 1)

    def pack(self, keypoints: np.ndarray, longest: float = LONGEST, origin: np.ndarray | None = None) -> dict:
        """Return a clip as plain data for the page.

        Args:
            keypoints: (M, T, V, C), C = 2 or 3.
            longest: Seconds that are shown.
            origin: (C,) point to subtract. By default, the middle of the clip.

        Returns:
            ``shape``: persons, frames, coordinates; ``fps``; ``step``, millimetres per unit, 1 unless the clip is too
            large; ``cut``, whether its end is missing; ``data``.
        """
        keypoints = np.asarray(keypoints, np.float64)[..., :3]
        total = keypoints.shape[1]
        kept = self.frames(total, longest)
        keypoints = keypoints[:, kept]
        seen = seen_joints(keypoints) & np.isfinite(keypoints).all(-1)
        persons = seen.any((1, 2))
        if persons.any():
            keypoints, seen = keypoints[persons], seen[persons]
        points = np.where(seen[..., None], keypoints, 0)
        if origin is None:
            shown = points[seen] if seen.any() else np.zeros((1, points.shape[-1]))
            origin = (shown.min(0) + shown.max(0)) / 2
        points = (points - origin) * self.scale
        points[..., 1] *= self.up
        largest = np.abs(points[seen]).max() if seen.any() else 0.
        step = max(1., float(largest) / _LARGEST)
        whole = np.where(seen[..., None], np.rint(points / step), UNSEEN).astype(np.int16)
        return dict(shape=[len(whole), len(kept), whole.shape[-1]], fps=self.fps, step=round(step, 4),
                    cut=bool(total > longest * self.source_fps), data=encode(whole))

    def pack_weights(self, weights: np.ndarray, total: int, persons: np.ndarray, longest: float = LONGEST) -> str:
        """Return the weights (M, T, V) in 0..1 of the joints of a clip with ``total`` frames, as bytes.

        Args:
            persons: (M,) bool, the persons that :meth:`pack` has kept.
        """
        weights = np.asarray(weights)[persons][:, self.frames(total, longest)]
        return _text(np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 1).tobytes())


def encode(whole: np.ndarray) -> str:
    """Encode (M, T, V, C) int16. Each coordinate of a joint is a row of differences, which wrap around."""
    rows = whole.transpose(0, 2, 3, 1).astype(np.uint16)
    rows[..., 1:] -= rows[..., :-1].copy()
    flat = rows.ravel()
    return _text(np.concatenate([flat & 255, flat >> 8]).astype(np.uint8).tobytes())


def decode(text: str, persons: int, frames: int, joints: int, coordinates: int) -> np.ndarray:
    """Return what :func:`encode` has encoded. It states the format that ``player.js`` reads."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(text), -15), np.uint8).astype(np.uint16)
    low, high = np.split(data, 2)
    rows = (low | high << 8).reshape(persons, joints, coordinates, frames).cumsum(-1, dtype=np.uint16)
    return rows.astype(np.int16).transpose(0, 3, 1, 2)


def skeleton(layout: SkeletonLayout) -> dict:
    """Return what the player needs to know about a layout."""
    head = next((v for v, name in enumerate(layout.joints) if name in ('head', 'nose')), None)
    return dict(joints=list(layout.joints), bones=[list(bone) for bone in layout.bones],
                left=[pair[0] for pair in layout.pairs], right=[pair[1] for pair in layout.pairs], head=head)


def _text(data: bytes) -> str:
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(press.compress(data) + press.flush()).decode()
