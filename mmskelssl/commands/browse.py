"""Draw the samples of a store, as stored or as a config transforms them. No RGB video is needed.

Without --views, each sample is drawn as an animation (gif, mp4) or a film strip (png). With --views CONFIG, one row of
panels shows the sample after each step of data.pipeline. One more row per view shows it before and after each of its
augmentations, which are applied in order. The same --seed gives the same pictures.

With --html, a page is written instead, in which the clips play in three dimensions and can be searched.

Examples:
  mmskelssl browse data/toy
  mmskelssl browse data/toy --sample S001C002P015R001A015 --views configs/actclr_toy.py
  mmskelssl browse data/toy --contact-sheet --format png --out work_dirs/sheet
  mmskelssl browse data/toy --html
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import seed
from mmskelssl.errors import UserError
from mmskelssl.shipped import find_config

# Number of samples drawn by default; number of samples on a contact sheet of a store without labels.
DEFAULT_SAMPLES, SHEET_SAMPLES = 4, 16
PAGE_SAMPLES = 500  # evenly spaced over the store
_OF_PICTURES = dict(format='gif', fps=30., angles=(0., 0.))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('store', metavar='STORE')
    parser.add_argument('--sample', nargs='+', metavar='ID',
                        help=f'ids of samples; default: the first of each of {DEFAULT_SAMPLES} classes')
    parser.add_argument('--views', metavar='CONFIG', help='config whose pipeline and views to show')
    parser.add_argument('--contact-sheet', action='store_true',
                        help=f'one sample per class in one picture; without labels, {SHEET_SAMPLES} evenly spaced ones')
    parser.add_argument('--html', action='store_true',
                        help=f'write browse.html, with up to {PAGE_SAMPLES} clips that play in the browser')
    parser.add_argument('--out', default='work_dirs/browse', metavar='DIR', help='default: work_dirs/browse')
    parser.add_argument('--format', choices=['gif', 'mp4', 'png'], help='default: gif')
    parser.add_argument('--seed', type=seed, help='seed of the random augmentations (default 0)')
    parser.add_argument('--fps', type=float, help='frames per second (default 30)')
    parser.add_argument('--angles', type=float, nargs=2, metavar=('AZIMUTH', 'ELEVATION'),
                        help='viewing direction of 3-D clips in degrees (default 0 0, the front)')


def run(args: argparse.Namespace) -> None:
    if args.contact_sheet and (args.views or args.sample):
        raise UserError('--contact-sheet shows a sample of every class as it is: leave out --sample and --views')
    if args.html and (args.contact_sheet or args.views):
        raise UserError('--html shows clips as they are: leave out --contact-sheet and --views; mmskelssl report shows '
                        'the views of a run')
    if args.html and (given := [name for name in _OF_PICTURES if getattr(args, name) is not None]):
        raise UserError(f'--{given[0]} is for pictures: leave out --html')
    if args.seed is not None and not args.views:
        raise UserError('--seed is for the augmentations of --views CONFIG: leave it out, or add --views')
    for name, value in dict(_OF_PICTURES, seed=0).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    from mmskelssl.datasets.store.reader import SkeletonStore
    from mmskelssl.visualization import browsing, grows_up
    store = SkeletonStore(args.store)
    rows = [browsing.find(store, name) for name in dict.fromkeys(args.sample or [])]
    if args.html:
        from mmskelssl.report.browse import build_browser
        from mmskelssl.report.page import check_place, write_page
        out = osp.join(args.out, 'browse.html')
        check_place(out)
        page = build_browser(store, rows or browsing.evenly(PAGE_SAMPLES, len(store)))
        write_page(out, page)
        print(f'{out}: {len(page) / 1e6:.1f} MB; open it in a browser')
        return
    rows = rows or browsing.one_per_class(store, DEFAULT_SAMPLES)
    # Uses many samples, because the person in a single one may be lying or hanging.
    up = grows_up((store.keypoints(i) for i in browsing.evenly(64, len(store))), store.layout)
    look = dict(angles=tuple(args.angles), y_up=up)
    if args.contact_sheet:
        print(browsing.draw_sheet(store, args, look, SHEET_SAMPLES))
        return
    steps = None
    if args.views:  # drawing clips as they are needs no torch
        from mmskelssl.engine.config import load_config
        from mmskelssl.visualization.views import ViewSteps
        config = find_config(args.views)
        steps = ViewSteps(store, load_config(config)[-1][1], config, args.seed)
    taken: set[str] = set()
    for i in rows:
        out = osp.join(args.out, f'{browsing.file_name(store.ids[i], taken)}.{args.format}')
        print(browsing.draw_sample(store, i, steps, out, args, look))
