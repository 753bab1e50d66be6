"""Draw several clips in one image or animation: rows of panels with captions."""
import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.visualization.files import check_suffix, write_animation, write_picture
from mmskelssl.visualization.skeleton import (
    NOTE,
    View,
    bounds,
    check_clip,
    grows_up,
    picture,
    text_bar,
    write_line,
)

_GAP, _CAPTION = 6, 38


class Panel(NamedTuple):
    """A clip (M,T,V,C) with a caption and a grey note below it."""
    caption: str
    keypoints: np.ndarray
    note: str = ''


class Row(NamedTuple):
    """Panels side by side.

    With ``same_scale`` all panels show the same region, so that translations, rotations and scalings are visible. A
    clip more than twice as large as the first is reduced, and its note reports the scale.
    """
    title: str
    panels: Sequence[Panel]
    same_scale: bool = False


def draw_panels(rows: Sequence[Row], layout, out: str | os.PathLike, title: str = '', fps: float = 30, frames: int = 3,
                height: int = 170, columns: int = 12, angles: tuple[float, float] = (0., 0.), y_up: bool | None = None,
                limit: int = 150) -> str:
    """Draw rows of panels as a ``.gif`` or ``.mp4`` animation, or as a ``.png`` with moments below each other.

    All panels start and end at the same time, regardless of their length. The longest clip plays at its own speed.

    Args:
        rows: Rows to draw.
        layout: Layout, its name or dict.
        out: File to write. Its folder is created.
        title: Text above the image.
        fps: Frames per second of the longest clip.
        frames: Number of moments in a ``.png``.
        height: Height of a panel in pixels.
        columns: Maximum number of panels side by side. Longer rows continue below.
        angles: As in :class:`View`.
        y_up: As in :class:`View`. By default, :func:`grows_up` determines it from the clips.
        limit: Maximum number of images in an animation. Longer clips are sampled at evenly spaced frames.

    Returns:
        The path.
    """
    out, layout = os.fspath(out), get_layout(layout)
    rows = [row for row in rows if row.panels]
    clips = [check_clip(panel.keypoints, layout) for row in rows for panel in row.panels]
    if not clips:
        raise UserError('drawing: no clips to draw')
    y_up = grows_up(clips, layout) if y_up is None else y_up
    boxes = [_frame(row, angles, y_up) for row in rows]
    width = _width([pair for row in boxes for pair, _ in row], height)
    cells = []
    for row, framed in zip(rows, boxes, strict=True):
        views = [(View(panel.keypoints, 2 * height, 2 * width, angles, y_up, box=box), panel._replace(note=note))
                 for panel, (box, note) in zip(row.panels, framed, strict=True)]  # twice the size, see picture()
        cells += [(row.title if i == 0 else '', views[i:i + columns]) for i in range(0, len(views), columns)]
    across = max(len(views) for _, views in cells)
    total = 2 * _GAP + across * (cells[0][1][0][0].width // 2 + _GAP)
    longest = max(clip.shape[1] for clip in clips)

    @functools.lru_cache(2 * len(clips))  # do not redraw the repeated frames of shorter clips
    def cell(r: int, c: int, t: int) -> np.ndarray:
        return picture(cells[r][1][c][0], t, layout)

    def moment(share: float) -> list[list[np.ndarray]]:
        return [[cell(r, c, round(share * (panel.keypoints.shape[1] - 1))) for c, (_, panel) in enumerate(views)]
                for r, (_, views) in enumerate(cells)]

    def page(moments: list[float], note: str) -> np.ndarray:
        drawn = [moment(share) for share in moments]
        parts = [text_bar(total, title, note)] if title else []
        for r, (heading, views) in enumerate(cells):
            if heading:
                parts.append(_heading(heading, total))
            parts += [_line(drawing[r], total) for drawing in drawn]
            parts.append(_line([_caption(panel, views[0][0].width // 2) for _, panel in views], total))
        return np.concatenate(parts)

    if check_suffix(out) == '.png':
        write_picture(page(list(np.linspace(0, 1, frames)), f'{longest} frames'), out)
        return out
    count = min(longest, limit)
    write_animation(lambda t: page([t / max(count - 1, 1)], f'{t + 1} / {count}'), count, out, fps * count / longest)
    return out


def _frame(row: Row, angles, y_up) -> list[tuple[tuple, str]]:
    """Return the region that each panel of a row shows, as corners, and its note."""
    boxes = [bounds(panel.keypoints, angles, y_up) for panel in row.panels]
    if not row.same_scale:
        return [(box, panel.note) for box, panel in zip(boxes, row.panels, strict=True)]
    sizes = [float((high - low).max()) for low, high in boxes]
    fits = [size <= 2 * sizes[0] or sizes[0] == 0 for size in sizes]
    inside = [box for box, fit in zip(boxes, fits, strict=True) if fit]
    shared = np.min([low for low, _ in inside], 0), np.max([high for _, high in inside], 0)
    extent = float((shared[1] - shared[0]).max())
    return [(shared, panel.note) if fit else
            (box, ', '.join(filter(None, [panel.note, f'shown at {min(extent / size, 1):.0%}'])))
            for panel, box, fit, size in zip(row.panels, boxes, fits, sizes, strict=True)]


def _width(boxes: list, height: int) -> int:
    """Return the width that most panels need. An image of many panels has no room for the width of the widest."""
    shapes = [(high - low)[0] / max((high - low)[1], 1e-6) for low, high in boxes]
    return int(np.clip(np.median(shapes) * .8 + .2, .75, 1.5) * height)


def _line(pictures: list[np.ndarray], total: int) -> np.ndarray:
    """Place images side by side on white."""
    image = np.full((pictures[0].shape[0], total, 3), 255, np.uint8)
    for i, drawn in enumerate(pictures):
        x = _GAP + _GAP // 2 + i * (drawn.shape[1] + _GAP)
        image[:, x:x + drawn.shape[1]] = drawn
    return image


def _heading(text: str, total: int) -> np.ndarray:
    bar = text_bar(total, text)
    cv2.line(bar, (10, 1), (total - 10, 1), (232, 230, 228), 1)
    return bar


def _caption(panel: Panel, width: int) -> np.ndarray:
    bar = np.full((_CAPTION, width, 3), 255, np.uint8)
    write_line(bar, panel.caption, 0, 13, width, .42, centred=True)
    if panel.note:
        write_line(bar, panel.note, 0, 29, width, .37, NOTE, centred=True)
    return bar
