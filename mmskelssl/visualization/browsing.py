"""Select samples of a store and draw them."""
import argparse
import heapq
import os.path as osp
import re
from typing import TYPE_CHECKING

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.visualization.clips import contact_sheet, draw_clip
from mmskelssl.visualization.panels import Panel, Row, draw_panels

if TYPE_CHECKING:
    from mmskelssl.visualization.views import ViewSteps  # imports torch


def evenly(count: int, of: int) -> list[int]:
    """Return at most ``count`` positions, evenly spaced over ``of``."""
    return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int)).tolist()


def one_per_class(store: SkeletonStore, count: int | None = None, unlabelled: int = 16) -> list[int]:
    """Return the first sample of each class, for ``count`` evenly spaced classes.

    Without labels, return ``count`` evenly spaced samples, or ``unlabelled`` samples if ``count`` is None.
    """
    labels, first = np.unique(store.labels, return_index=True)
    first = first[labels >= 0]
    if not len(first):
        return evenly(count or unlabelled, len(store))
    return first[evenly(count or len(first), len(first))].tolist()


def find(store: SkeletonStore, name: str) -> int:
    """Return the position of a sample id. For an unknown id, the error suggests the closest ones."""
    if name in store.positions:
        return store.positions[name]
    near = heapq.nlargest(3, store.ids, lambda other: _alike(name, other))
    near = [other for other in near if 3 * _alike(name, other) > len(name)]
    raise UserError(f'{store.path} has no sample {name!r}; ' + (
        f'the nearest are {", ".join(near)}' if near else f'its ids look like {store.ids[0]!r}'))


def _alike(a: str, b: str) -> int:
    """Count the characters that two ids share at both ends. difflib would take seconds for a hundred thousand ids."""
    a, b = a.lower(), b.lower()
    return len(osp.commonprefix([a, b])) + len(osp.commonprefix([a[::-1], b[::-1]]))


def class_name(store: SkeletonStore, i: int) -> str | None:
    label = int(store.labels[i])
    if label < 0:
        return None
    return store.classes[label] if label < len(store.classes) else f'class {label}'


def file_name(name: str, taken: set[str]) -> str:
    """Return a file name for a sample id, which may contain any characters. No two ids get the same name."""
    plain = re.sub(r'[^\w.-]+', '_', name).lstrip('.')[:100] or 'sample'
    unique, n = plain, 1
    while unique.lower() in taken:
        n += 1
        unique = f'{plain}_{n}'
    taken.add(unique.lower())
    return unique


def draw_sheet(store: SkeletonStore, args: argparse.Namespace, look: dict, unlabelled: int) -> str:
    """Draw one sample per class in one image. Without labels, draw ``unlabelled`` evenly spaced samples."""
    rows = one_per_class(store, unlabelled=unlabelled)
    clips = [(class_name(store, i) or store.ids[i], store.keypoints(i)) for i in rows]
    out = osp.join(args.out, f'contact_sheet.{args.format}')
    if args.format == 'png':
        columns, frames = (2, 7) if len(rows) <= 24 else (4, 4)
        contact_sheet(clips, store.layout, out, frames, columns=min(columns, len(rows)), **look)
        return out
    panels = [Panel(title, clip, f'{clip.shape[1]} frames') for title, clip in clips]
    columns = int(np.ceil(len(panels) / max(1, round(np.sqrt(len(panels) / 1.5)))))
    return draw_panels([Row('', panels)], store.layout, out, osp.basename(osp.abspath(store.path)), args.fps,
                       columns=columns, **look)


def draw_sample(store: SkeletonStore, i: int, steps: 'ViewSteps | None', out: str, args: argparse.Namespace,
                look: dict) -> str:
    """Draw one sample, with all steps of a config if one is given."""
    title = ', '.join(filter(None, [store.ids[i], class_name(store, i)]))
    try:
        if steps is None:
            return draw_clip(store.keypoints(i), store.layout, out, title=title, fps=args.fps, **look)
        return draw_panels(steps.rows(i), store.layout, out, f'{title}, seed {args.seed}', args.fps, **look)
    except UserError as error:
        raise UserError(f'{store.path}: sample {store.ids[i]}: {error}') from error
