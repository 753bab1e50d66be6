"""Look at the samples of a store, as they are or as a config changes them. No RGB is needed.

Without --views each sample is one animation (gif, mp4) or film strip (png). With --views CONFIG a row of panels shows
what each step of data.pipeline makes of it, and a further row for each view what it is before and after each of its
augmentations, one added to the other. The same --seed gives the same pictures.

Examples:
  python tools/analysis/browse_dataset.py data/toy
  python tools/analysis/browse_dataset.py data/toy --sample S001C002P015R001A015 --views configs/actclr_toy.py
  python tools/analysis/browse_dataset.py data/toy --contact-sheet --format png --out work_dirs/sheet
"""
import argparse
import heapq
import os.path as osp
import re

import numpy as np

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config import load_config
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.visualization import Panel, Row, contact_sheet, draw_clip, draw_panels, grows_up
from mmskelssl.visualization.views import ViewSteps

# Samples that are drawn where none is named; of a sheet of a store without labels.
DEFAULT_SAMPLES, SHEET_SAMPLES = 4, 16


def evenly(count: int, of: int) -> list[int]:
    """At most ``count`` positions evenly spaced over ``of``."""
    return np.unique(np.linspace(0, of - 1, min(count, of)).round().astype(int)).tolist()


def one_per_class(store: SkeletonStore, count: int | None = None) -> list[int]:
    """The first sample of each class, of ``count`` evenly spaced classes; evenly spaced samples without labels."""
    labels, first = np.unique(store.labels, return_index=True)
    first = first[labels >= 0]
    if not len(first):
        return evenly(count or SHEET_SAMPLES, len(store))
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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store', metavar='STORE')
    parser.add_argument('--sample', nargs='+', metavar='ID',
                        help=f'ids of samples; default the first of each of {DEFAULT_SAMPLES} classes')
    parser.add_argument('--views', metavar='CONFIG', help='config whose pipeline and views are shown')
    parser.add_argument('--contact-sheet', action='store_true',
                        help=f'one sample per class in one picture; without labels {SHEET_SAMPLES} evenly spaced ones')
    parser.add_argument('--out', default='work_dirs/browse', metavar='DIR', help='default work_dirs/browse')
    parser.add_argument('--format', default='gif', choices=['gif', 'mp4', 'png'], help='default gif')
    parser.add_argument('--seed', type=int, default=0, help='of the random augmentations (default 0)')
    parser.add_argument('--fps', type=float, default=30, help='frames a second (default 30)')
    parser.add_argument('--angles', type=float, nargs=2, default=(0., 0.), metavar=('AZIMUTH', 'ELEVATION'),
                        help='where a 3-D clip is seen from, in degrees (default 0 0, the front)')
    args = parser.parse_args()
    if args.contact_sheet and (args.views or args.sample):
        parser.error('--contact-sheet shows a sample of every class as it is: without --sample and --views')
    return args


def draw_sheet(store: SkeletonStore, args: argparse.Namespace, look: dict) -> str:
    """One sample per class in one picture."""
    rows = one_per_class(store)
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


@one_line_errors
def main() -> None:
    args = parse_args()
    store = SkeletonStore(args.store)
    rows = [find(store, name) for name in dict.fromkeys(args.sample or [])] or one_per_class(store, DEFAULT_SAMPLES)
    up = grows_up((store.keypoints(i) for i in evenly(64, len(store))), store.layout)  # one sample may lie or hang
    look = dict(angles=tuple(args.angles), y_up=up)
    if args.contact_sheet:
        print(draw_sheet(store, args, look))
        return
    steps = ViewSteps(store, load_config(args.views)[-1][1], args.views, args.seed) if args.views else None
    taken: set[str] = set()
    for i in rows:
        out = osp.join(args.out, f'{file_name(store.ids[i], taken)}.{args.format}')
        print(draw_sample(store, i, steps, out, args, look))


if __name__ == '__main__':
    main()
