"""Draw skeleton clips: film strips, contact sheets and animations."""
import os
from collections.abc import Sequence

import cv2
import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.visualization.files import check_suffix, write_animation, write_picture
from mmskelssl.visualization.skeleton import EDGE, WHITE, View, check_clip, grows_up, picture, text_bar


def strip(keypoints: np.ndarray, layout, frames: int = 8, height: int = 240, weights=None, title: str = '',
          angles: tuple[float, float] = (0., 0.), y_up: bool | None = None, width: int | None = None,
          follow: bool = False) -> np.ndarray:
    """Draw a film strip of ``frames`` evenly spaced frames side by side and return it, uint8 BGR.

    Takes the arguments of :func:`draw_clip` and :class:`View`.
    """
    layout = get_layout(layout)
    keypoints = check_clip(keypoints, layout)
    weights = _weights(weights, keypoints.shape)
    y_up = grows_up([keypoints], layout) if y_up is None else y_up
    view = View(keypoints, 2 * height, 2 * width if width else None, angles, y_up, follow=follow)
    cells = []
    for t in np.linspace(0, keypoints.shape[1] - 1, frames).round().astype(int):
        cell = picture(view, t, layout, weights)
        cell[:, -1] = EDGE
        cells.append(cell)
    image = np.concatenate(cells, axis=1)
    if title:
        image = np.concatenate([text_bar(image.shape[1], title, f'{keypoints.shape[1]} frames'), image])
    return image


def contact_sheet(clips: Sequence[tuple[str, np.ndarray]], layout, out: str | os.PathLike | None = None,
                  frames: int = 7, height: int = 140, columns: int = 2,
                  angles: tuple[float, float] = (0., 0.), y_up: bool | None = None) -> np.ndarray:
    """Draw one strip per clip on one sheet, with its title below.

    Args:
        clips: (title, keypoints (M,T,V,C)) pairs, for example one per class.
        layout: Layout, its name or dict.
        out: PNG to write.
        frames: Number of frames per strip.
        height: Height of a strip in pixels.
        columns: Number of strips side by side.
        angles: As in :class:`View`.
        y_up: As in :class:`View`. By default, :func:`grows_up` determines it from all clips.

    Returns:
        The image, uint8 BGR.
    """
    if not clips:
        raise UserError('drawing: no clips for the contact sheet')
    layout = get_layout(layout)
    y_up = grows_up((check_clip(clip, layout) for _, clip in clips), layout) if y_up is None else y_up
    cells: list[np.ndarray] = []
    for title, clip in clips:
        cell = strip(clip, layout, frames, height, None, '', angles, y_up, round(.75 * height), follow=True)
        cells.append(np.concatenate([cell, text_bar(cell.shape[1], title, f'{clip.shape[1]} frames')]))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    gap = np.full((cells[0].shape[0], 12, 3), 255, np.uint8)
    rows: list[np.ndarray] = []
    for i in range(0, len(cells), columns):
        row = np.concatenate([part for cell in cells[i:i + columns] for part in (cell, gap)][:-1], axis=1)
        rows += [row, np.full((1, row.shape[1], 3), EDGE[0], np.uint8)]
    sheet = cv2.copyMakeBorder(np.concatenate(rows), 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=WHITE)
    if out is not None:
        write_picture(sheet, out)
    return sheet


def draw_clip(keypoints: np.ndarray, layout, out: str | os.PathLike, weights=None, title: str = '', fps: float = 30,
              frames: int = 8, height: int | None = None, angles: tuple[float, float] = (0., 0.),
              y_up: bool | None = None) -> str:
    """Draw a clip as a ``.png`` strip or as a ``.gif`` or ``.mp4`` animation, depending on the suffix of ``out``.

    Args:
        keypoints: (M,T,V,C), C = 2 or 3. A person of zeros is not drawn.
        layout: Layout, its name or dict.
        out: File to write. Its folder is created.
        weights: (V,), (T,V) or (M,T,V) values of any range that colour the joints, such as an actionlet mask.
        title: Text above the image.
        fps: Frames per second of an animation.
        frames: Number of frames in a strip.
        height: Height in pixels. The default is 240 for a strip and 480 for an animation.
        angles: (azimuth, elevation) in degrees.
        y_up: As in :class:`View`. By default, :func:`grows_up` determines it from the clip.

    Returns:
        The path.
    """
    out, layout = os.fspath(out), get_layout(layout)
    if check_suffix(out) == '.png':
        write_picture(strip(keypoints, layout, frames, height or 240, weights, title, angles, y_up), out)
        return out
    keypoints = check_clip(keypoints, layout)
    weights = _weights(weights, keypoints.shape)
    y_up = grows_up([keypoints], layout) if y_up is None else y_up
    view = View(keypoints, 2 * (height or 480), None, angles, y_up)
    count = keypoints.shape[1]

    def draw(t: int) -> np.ndarray:
        image = picture(view, t, layout, weights)
        return np.concatenate([text_bar(image.shape[1], title, f'{t + 1} / {count}'), image])
    write_animation(draw, count, out, fps)
    return out


def _weights(weights, shape) -> np.ndarray | None:
    """Expand weights (V,), (T,V) or (M,T,V) to (M,T,V) and scale them to 0..1 over the clip."""
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    try:
        weights = np.broadcast_to(weights, shape[:3])
    except ValueError:
        raise UserError(f'drawing: weights have shape {weights.shape}; expected (V,), (T,V) or (M,T,V) of clip '
                        f'{tuple(shape)}') from None
    low, high = weights.min(), weights.max()
    return (weights - low) / (high - low) if high > low else np.clip(weights, 0, 1)
