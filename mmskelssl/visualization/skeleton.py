"""Draw a frame of a skeleton clip with OpenCV.

The view is orthographic and fits the whole clip, so movement through the scene stays visible. As in the Kinect's own
images, x grows to the right, regardless of its meaning in the data. The shoulders are above the hips.
"""
from collections.abc import Iterable

import cv2
import numpy as np

from mmskelssl.errors import UserError, printable
from mmskelssl.layouts import SkeletonLayout

# BGR colours (left, right, trunk) of the first and the second person. Further persons repeat them.
PERSONS = (((196, 120, 30), (48, 84, 216), (72, 64, 60)),
           ((110, 140, 0), (160, 60, 140), (150, 142, 136)))
_INK, _GROUND, EDGE, WHITE = (60, 56, 52), (206, 204, 200), (232, 230, 228), (255, 255, 255)
NOTE = (150, 146, 142)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class View:
    """Projection of the joints of a clip to pixel positions.

    Args:
        keypoints: (M,T,V,C) with C >= 2. The third coordinate is the depth. Further ones are ignored.
        height: Height of the image in pixels.
        width: Width of the image in pixels. By default, it fits the clip, between 0.6 and 2 times the height.
        angles: (azimuth, elevation) of the viewer in degrees, for 3-D clips.
        y_up: Whether y grows upwards. By default, it does in 3-D (cameras) but not in 2-D (pixels).
        margin: Free margin on every side, as a share of the height.
        follow: Keep the persons in the centre of the image instead of showing their movement through the scene.
        box: (low, high) corners, (2,) each, of the region to show, see :func:`bounds`. By default, the whole clip.
    """

    def __init__(self, keypoints: np.ndarray, height: int = 240, width: int | None = None,
                 angles: tuple[float, float] = (0., 0.), y_up: bool | None = None, margin: float = .1,
                 follow: bool = False, box: tuple[np.ndarray, np.ndarray] | None = None):
        points, seen = _project(keypoints, angles, y_up)
        self.seen: np.ndarray = seen
        if follow:
            middle = (points[..., 0] * self.seen).sum((0, 2)) / np.maximum(self.seen.sum((0, 2)), 1)  # (T,)
            points[..., 0] -= middle[None, :, None]
        extent = _extent(points, self.seen)
        low, high = extent if box is None else box
        size = np.maximum(high - low, 1e-6 + .05 * (high - low).max())
        free, pad = height * (1 - 2 * margin), height * margin
        if width is None:
            width = int(np.clip(size[0] / size[1] * free + 2 * pad, .6 * height, 2 * height))
        scale = min(free / size[1], (width - 2 * pad) / size[0])
        middle = (low + high) / 2
        width, height = width - width % 4, height - height % 4  # picture() halves them; codecs need even sides
        self.width, self.height = width, height
        self.points = (points - middle) * (scale, -scale) + (width / 2, height / 2)  # (M,T,V,2) in pixels
        y = self.points[..., 1]
        heights = np.where(self.seen, y, -np.inf).max(-1) - np.where(self.seen, y, np.inf).min(-1)  # (M,T)
        # Height in pixels of each person when standing.
        shown = np.asarray(self.seen.any(-1))
        self.body_heights = [float(np.quantile(row[there], .9)) if there.any() else 0.
                             for row, there in zip(heights, shown, strict=True)]
        self.ground = height / 2 + (middle[1] - extent[0][1]) * scale


def seen_joints(keypoints: np.ndarray) -> np.ndarray:
    """Return which joints of a clip (M,T,V,C) to draw, (M,T,V).

    A joint at exactly zero was not detected or is masked. A person of zeros is absent. Centring also moves one joint
    to zero. That joint is drawn if no other joint is zero and the body lies around it.
    """
    there = np.any(keypoints != 0, axis=3)
    low = np.where(there[..., None], keypoints, np.inf).min(2)
    high = np.where(there[..., None], keypoints, -np.inf).max(2)
    centred = (there.sum(2) == keypoints.shape[2] - 1) & np.all((low <= 0) & (high >= 0), axis=2)
    return there | centred[..., None]


def _project(keypoints: np.ndarray, angles, y_up: bool | None) -> tuple[np.ndarray, np.ndarray]:
    """Return points (M,T,V,2) as seen by the viewer, with y up, and the mask (M,T,V) of those to draw."""
    keypoints = check_clip(keypoints)
    flat = keypoints.shape[-1] == 2
    points = keypoints[..., :3].astype(np.float64)
    if not (not flat if y_up is None else y_up):
        points = points * ((1, -1) if flat else (1, -1, 1))
    if not flat:
        azimuth, elevation = np.radians(angles)
        x, y, z = np.moveaxis(points, -1, 0)
        x, z = x * np.cos(azimuth) + z * np.sin(azimuth), z * np.cos(azimuth) - x * np.sin(azimuth)
        points = np.stack([x, y * np.cos(elevation) + z * np.sin(elevation)], axis=-1)
    return points, seen_joints(keypoints)


def _extent(points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shown = points[seen] if seen.any() else np.zeros((1, 2))
    return shown.min(0), shown.max(0)


def bounds(keypoints: np.ndarray, angles: tuple[float, float] = (0., 0.),
           y_up: bool | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the (low, high) corners, (2,) each, of the region that a :class:`View` of a whole clip (M,T,V,C) shows."""
    return _extent(*_project(keypoints, angles, y_up))


def grows_up(clips: Iterable[np.ndarray], layout: SkeletonLayout) -> bool | None:
    """Return whether y grows upwards in clips (M,T,V,C).

    It does if the shoulders have larger y than the hips in most frames. Depth cameras use different conventions, so
    3-D clips need this check as well. Returns None if the clips show no one.
    """
    # Find the hips by name: in layouts without a joint between the hips, ``layout.hip`` is another joint (a nose).
    hips = [joint for joint, name in enumerate(layout.joints) if 'hip' in name.lower()] or [layout.hip]
    rises = []
    for clip in clips:
        bodies = clip[np.any(clip != 0, axis=(2, 3))]  # (n,V,C)
        rises.append(np.sign(bodies[:, list(layout.shoulders), 1].mean(1) - bodies[:, hips, 1].mean(1)))
    votes = np.concatenate(rises).sum() if rises else 0
    return bool(votes > 0) if votes else None


def check_clip(keypoints: np.ndarray, layout: SkeletonLayout | None = None) -> np.ndarray:
    """Return keypoints as an (M,T,V,C) array.

    Raises:
        UserError: If the shape, the number of joints or the values are invalid.
    """
    keypoints = np.asarray(keypoints)
    if keypoints.ndim != 4 or keypoints.shape[-1] < 2 or 0 in keypoints.shape:
        raise UserError(f'drawing: keypoints have shape {keypoints.shape}; expected (persons, frames, joints, 2 or 3)')
    if layout is not None and keypoints.shape[2] != layout.num_joints:
        raise UserError(f'drawing: {keypoints.shape[2]} joints, but layout {layout.name} has {layout.num_joints}')
    if not np.isfinite(keypoints).all():
        raise UserError('drawing: keypoints contain NaN or infinity; repair them when creating the store')
    return keypoints


def draw_frame(image: np.ndarray, view: View, t: int, layout: SkeletonLayout, weights: np.ndarray | None = None):
    """Draw frame ``t`` into ``image`` (H,W,3) uint8, in place.

    Colours distinguish left, right and persons. With ``weights`` (M,T,V) in 0..1, joints and bones are coloured by
    value instead.
    """
    thick = max(1, round(view.height / 90))
    head = next((v for v, name in enumerate(layout.joints) if name in ('head', 'nose')), None)
    left, right = {pair[0] for pair in layout.pairs}, {pair[1] for pair in layout.pairs}
    ends = [(view.height * .04, view.ground), (view.width - view.height * .04, view.ground)]
    start, end = _fixed(ends)
    cv2.line(image, start, end, _GROUND, max(1, thick // 2), cv2.LINE_AA, _SHIFT)
    for m in range(len(view.points)):
        seen = view.seen[m, t]
        sides, head_radius = PERSONS[m % len(PERSONS)], .06 * view.body_heights[m]
        colours = [sides[0 if v in left else 1 if v in right else 2] for v in range(layout.num_joints)]
        if weights is not None:
            colours = _heat(weights[m, t])
        points = _fixed(view.points[m, t])
        for child, parent in layout.bones:
            if seen[child] and seen[parent]:
                cv2.line(image, points[child], points[parent], colours[child], thick, cv2.LINE_AA, _SHIFT)
        for v, point in enumerate(points):
            if not seen[v]:
                continue
            if v == head:
                _dot(image, point, head_radius, colours[v])
                _dot(image, point, head_radius - .8 * thick, WHITE)
                continue
            radius = view.height / 110 * (1 if weights is None else .8 + weights[m, t, v])
            _dot(image, point, radius + .8, WHITE)
            _dot(image, point, radius, colours[v])


_SHIFT = 4  # fractional bits of OpenCV's sub-pixel positions


def _fixed(points) -> list[list[int]]:
    return np.rint(np.multiply(points, 2**_SHIFT)).astype(int).tolist()


def _dot(image, centre: list[int], radius: float, colour):
    """Draw a disc. The centre is in OpenCV's fixed-point positions, the radius in pixels."""
    cv2.circle(image, centre, max(1, round(radius * 2**_SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)


def _heat(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Map values to colours from grey (0) to strong orange (1)."""
    values = np.clip(values, 0, 1)[:, None]
    colours = (1 - values) * (205, 203, 200) + values * (20, 70, 235)
    return [(int(b), int(g), int(r)) for b, g, r in colours]


def picture(view: View, t: int, layout: SkeletonLayout, weights: np.ndarray | None = None) -> np.ndarray:
    """Draw frame ``t`` at half the size of ``view``. Drawing large and downsampling keeps small joints round."""
    canvas = np.full((view.height, view.width, 3), 255, np.uint8)
    draw_frame(canvas, view, t, layout, weights)
    return cv2.resize(canvas, (view.width // 2, view.height // 2), interpolation=cv2.INTER_AREA)


def text_bar(width: int, text: str, note: str = '') -> np.ndarray:
    """Draw a line of text, (30,width,3), with a grey note at its end. Text that does not fit is drawn smaller."""
    bar = np.full((30, width, 3), 255, np.uint8)
    room = width - 20
    note = printable(note)  # as in write_line
    if note:
        size = cv2.getTextSize(note, _FONT, .4, 1)[0][0]
        cv2.putText(bar, note, (width - size - 10, 21), _FONT, .4, NOTE, 1, cv2.LINE_AA)
        room -= size + 10
    write_line(bar, text, 10, 21, room, .5)
    return bar


def write_line(image: np.ndarray, text: str, x: int, y: int, room: int, scale: float, colour=_INK, centred=False):
    """Write ``text`` in place with its baseline at (x, y), within ``room`` pixels and optionally centred in them."""
    text = printable(text)  # OpenCV ends the process for text that is not UTF-8, such as some names of files
    size = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    if size > room:  # text sizes are discrete, so choose a slightly smaller one
        scale *= .97 * max(room, 1) / size
        size = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    cv2.putText(image, text, (x + (room - size) // 2 if centred else x, y), _FONT, scale, colour, 1, cv2.LINE_AA)
