"""The rule that decides whether the third number of a joint is a depth or the score of a 2D joint."""
from typing import Literal

import numpy as np

from mmskelssl.layouts import SkeletonLayout

Third = Literal['score', 'depth', 'drop']
# Layouts of 2D pose estimators.
FLAT = frozenset(('coco17', 'coco18', 'openpose25', 'halpe26', 'halpe136', 'coco_wholebody133', 'posetrack17',
                  'animal17', 'face68', 'coco23', 'vitpose25', 'mpii16'))
PIXELS = 20  # larger coordinates cannot be metres of a body in front of a camera
DUST = .01  # smaller coordinates cannot be metres either
BEYOND = 1e9  # larger than any picture or room: numbers of a damaged file
HIGHEST = 2  # COCO's visibility of an annotated joint; confidences end at about 1


def third_number(points: np.ndarray, layout: SkeletonLayout, asked: Third | None = None) -> Third:
    """Determine the meaning of the third of three numbers.

    In 2D layouts, and where x and y are pixels, it is a score, if it can be one: 0 to 2. Elsewhere it is the depth.

    Args:
        points: (..., 3). NaN, all-zero joints and numbers beyond 10^9 are ignored.
        layout: Layout of the joints.
        asked: The user's choice (``--third``), which is returned.

    Raises:
        ValueError: It should be a score, but cannot be one.
    """
    if asked:
        return asked
    joints = points.reshape(-1, points.shape[-1]).astype(np.float64)  # BEYOND is infinite in half precision
    joints = joints[(np.abs(joints) < BEYOND).all(1) & (joints[:, :2] != 0).any(1)]
    if not len(joints):
        return 'score' if layout.name in FLAT else 'depth'
    low, high = joints[:, 2].min(), joints[:, 2].max()
    score = 0 <= low and high <= HIGHEST
    pixels = np.abs(joints[:, :2]).max() > PIXELS
    if layout.name in FLAT and not score:
        raise ValueError(f'the third number of a joint lies in {low:.4g}..{high:.4g}, which cannot be a score in the '
                         f'2D layout {layout.name}: choose with --third depth, score or drop')
    return 'score' if score and (pixels or layout.name in FLAT) else 'depth'


def said(third: Third) -> Literal['score', 'depth', 'none']:
    """Return the entry of a store about the third number of its source."""
    return 'none' if third == 'drop' else third


def units_of(points: np.ndarray) -> str:
    """Return the units of 2D coordinates: ``relative`` if all lie within about 0 to 1, else ``px``."""
    seen = points[np.isfinite(points)]
    return 'relative' if len(seen) and np.abs(seen).max() <= 1.5 and (np.abs(seen) <= 1).mean() > .9 else 'px'


def check_size(points: np.ndarray, first: np.ndarray, name: str) -> None:
    """Refuse a clip whose bodies differ so much in size from those of the first clip that its units must differ.

    Args:
        points: (M, T, V, C) coordinates without scores. Zeros and NaN are ignored.
        first: Coordinates of the first clip.
        name: Name of the first clip's file.

    Raises:
        ValueError: The sizes differ 30-fold in 3D, or 10-fold in 2D if one is relative to the picture.
    """
    sizes = body_size(points), body_size(first)
    if not min(sizes) > 0:
        return
    ratio = max(sizes) / min(sizes)
    if ratio > 30 if points.shape[-1] > 2 else ratio > 10 and units_of(_seen(points)) != units_of(_seen(first)):
        raise ValueError(f'its bodies are {sizes[0]:.3g} in size, but those of {name} {sizes[1]:.3g}: their units '
                         'differ; import them separately')


def check_metres(points: np.ndarray) -> None:
    """Raise a ValueError if the bodies of a clip (M, T, V, C) are so large or small that its unit cannot be metres."""
    largest = np.abs(points[..., :3]).max(initial=0)
    if largest > DUST and 2 * np.sqrt(3) * largest <= PIXELS:  # nearly always, and quick to find out
        return
    if (size := body_size(points)) > PIXELS or 0 < size < DUST:
        raise ValueError(f'its bodies are {size:.3g} in size, which cannot be metres: convert the numbers, or import '
                         'the files in metres')


def _seen(points: np.ndarray) -> np.ndarray:
    return np.where((points != 0).any(-1, keepdims=True), points, np.nan)


def body_size(points: np.ndarray) -> float:
    """Return the median over frames of the diagonal of a body's bounding box; 0 without a body."""
    axes = np.asarray(points[..., :3], np.float64)  # in half precision, BEYOND would be infinite
    seen = (np.abs(axes) < BEYOND).all(-1) & (axes != 0).any(-1)
    shown = seen.sum(-1) > 1
    if not shown.any() or 2 * seen.sum() < (axes != 0).any(-1).sum():  # the rest of a damaged clip is not informative
        return 0.
    axes, seen = axes[shown], seen[shown][..., None]
    box = np.where(seen, axes, -np.inf).max(1) - np.where(seen, axes, np.inf).min(1)
    return float(np.median(np.linalg.norm(box, axis=-1)))
