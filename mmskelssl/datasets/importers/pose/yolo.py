"""Ultralytics' ``.txt`` labels, one per picture: rows ``class x y w h`` and V times ``x y[ visibility]``, relative."""
import numpy as np

from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import person

PROGRAM = "Ultralytics' .txt labels"
LAYOUTS = {17: 'coco17', 21: 'hand21'}


def detects(content) -> str | None:
    if not isinstance(content, str):
        return None
    rows = _rows(content)
    if rows and all(_joints(len(row)) and row[0] == int(row[0]) and all(-.5 <= v <= 1.5 for v in row[1:5])
                    for row in rows):
        return "a picture of Ultralytics' .txt labels"
    return None


def read(content: str, options: Options, lost: Lost) -> list[Clip]:
    people = []
    for i, row in enumerate(_rows(content) or [], 1):
        joints, width = _joints(len(row), options.joints) or (0, 0)
        if not joints:
            raise ValueError(f'line {i}: {len(row)} numbers, expected class, x, y, w, h and V times x, y[, visibility]')
        points = np.reshape(row[5:5 + joints * width], (joints, width))
        extra = row[5 + joints * width:]  # confidence and identity, with save_conf and tracking
        track = int(extra[-1]) if len(extra) and extra[-1] == int(extra[-1]) and extra[-1] > 0 else None
        scores = points[:, 2].tolist() if width == 3 else None
        points = np.where((points[:, :2] != 0).any(1)[:, None], points[:, :2], np.nan)
        people.append(person(points.tolist(), f'line {i}', lost, scores, track))
    return [Clip([[one for one in people if one]])]


def _rows(content: str) -> list[list[float]] | None:
    try:
        rows = [[float(word) for word in line.split()] for line in content.splitlines() if line.strip()]
    except ValueError:
        return None
    return rows if all(np.isfinite(row).all() and row and abs(row[0]) < 1e6 for row in rows) else None


def _joints(count: int, joints: int = 0) -> tuple[int, int] | None:
    """Return (joints, numbers per joint) of a row. Up to two numbers may follow the joints."""
    for extra in (0, 1, 2):
        for width in (3, 2):
            rest = count - 5 - extra
            if rest > 0 and rest % width == 0 and rest // width in ((joints,) if joints else (17, 21)):
                return rest // width, width
    return None
