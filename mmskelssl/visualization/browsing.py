"""Which samples of a store to look at, and pictures of them."""
import argparse
import heapq
import os.path as osp
import re

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.visualization.panels import Panel, Row, draw_panels
from mmskelssl.visualization.skeleton import contact_sheet, draw_clip
from mmskelssl.visualization.views import ViewSteps


def evenly(count: int, of: int) -> list[int]:
    """At most ``count`` positions evenly spaced over ``of``."""
    return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int)).tolist()


def one_per_class(store: SkeletonStore, count: int | None = None, unlabelled: int = 16) -> list[int]:
    """The first sample of each class, of ``count`` evenly spaced classes.

    Without labels it is ``count`` evenly spaced samples, or ``unlabelled`` where there is no ``count``.
    """
    labels, first = np.unique(store.labels, return_index=True)
    first = first[labels >= 0]
    if not len(first):
        return evenly(count or unlabelled, len(store))
    return first[evenly(count or len(first), len(first))].tolist()


def find(store: SkeletonStore, name: str) -> int:
    """Position of a sample id."""
    if name in store.positions:
        return store.positions[name]
    near = heapq.nlargest(3, store.ids, lambda other: _alike(name, other))
    near = [other for other in near if 3 * _alike(name, other) > len(name)]
    raise UserError(f'{store.path} has no sample {name!r}; ' + (
        f'the nearest are {", ".join(near)}' if near else f'its ids look like {store.ids[0]!r}'))


def _alike(a: str, b: str) -> int:
    """Letters that two ids share at their ends: with difflib a hundred thousand ids would take seconds."""
    a, b = a.lower(), b.lower()
    return len(osp.commonprefix([a, b])) + len(osp.commonprefix([a[::-1], b[::-1]]))


def class_name(store: SkeletonStore, i: int) -> str | None:
    label = int(store.labels[i])
    if label < 0:
        return None
    return store.classes[label] if label < len(store.classes) else f'class {label}'


def file_name(name: str, taken: set[str]) -> str:
    """A file name out of a sample id, which may hold anything: no two ids get the same."""
    plain = re.sub(r'[^\w.-]+', '_', name).lstrip('.')[:100] or 'sample'
    unique, n = plain, 1
    while unique.lower() in taken:
        n += 1
        unique = f'{plain}_{n}'
    taken.add(unique.lower())
    return unique


def draw_sheet(store: SkeletonStore, args: argparse.Namespace, look: dict, unlabelled: int) -> str:
    """One sample per class in one picture; ``unlabelled`` evenly spaced ones without labels."""
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


def draw_sample(store: SkeletonStore, i: int, steps: ViewSteps | None, out: str, args: argparse.Namespace,
                look: dict) -> str:
    """One sample, with all steps of a config if there is one."""
    title = ', '.join(filter(None, [store.ids[i], class_name(store, i)]))
    try:
        if steps is None:
            return draw_clip(store.keypoints(i), store.layout, out, title=title, fps=args.fps, **look)
        return draw_panels(steps.rows(i), store.layout, out, f'{title}, seed {args.seed}', args.fps, **look)
    except UserError as error:
        raise UserError(f'{store.path}: sample {store.ids[i]}: {error}') from error
