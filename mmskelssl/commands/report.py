"""Write one HTML page that shows what an encoder has learned, and where it errs.

The page shows accuracies next to those of an untrained encoder, the curves of the run, a map of the features whose
dots play their clips, nearest neighbours, confusions with their clips, masks, views and data. It is a single file that
loads nothing. Several runs share its figures; clips are those of the first.

Examples:
  mmskelssl report work_dirs/quickstart
  mmskelssl report work_dirs/actclr_toy work_dirs/skeattnclr_toy --out masks.html
  mmskelssl report models/mine --data data/mine --recording day.npy --window 2 --fps 30
"""
import argparse

from mmskelssl.commands.arguments import add_imports, seed
from mmskelssl.errors import UserError

_OF_RECORDINGS = dict(window=2., stride=.5, fps=None, persons=None, layout=None, convert=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('paths', nargs='+', metavar='WORK_DIR|MODEL_DIR', help='work_dirs of runs, checkpoints, '
                        'folders of saved encoders or classifiers, or zoo/NAME')
    parser.add_argument('--data', metavar='STORE', help='store whose clips to show; default: the one that the encoder '
                        'was trained on')
    parser.add_argument('--out', metavar='FILE', help='.html file to write; default: report.html in the first folder')
    parser.add_argument('--split-pair', metavar='TRAIN:TEST', help='splits to compare; default: those of the training')
    parser.add_argument('--clips', type=int, default=1000, metavar='N',
                        help='largest number of clips on the page (default 1000)')
    parser.add_argument('--seed', type=seed, default=0, help='seed of probes, projections and clusters (default 0)')
    parser.add_argument('--batch-size', type=int, default=256, help='clips per batch (default 256)')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    group = parser.add_argument_group('long recordings')
    group.add_argument('--recording', metavar='CLIPS', help='a recording in any format that mmskelssl detect '
                       'recognises; its windows are classified')
    group.add_argument('--window', type=float, metavar='SECONDS', help='duration of a window (default 2)')
    group.add_argument('--stride', type=float, metavar='SECONDS', help='from one window to the next (default 0.5)')
    group.add_argument('--fps', type=float, help='frames per second, if the recording does not state them')
    group.add_argument('--persons', choices=['each', 'together'], help='windows of each person, or of all together')
    group.add_argument('--layout', help='layout of a recording that does not state its own')
    group.add_argument('--convert', action='store_true', default=None, help='convert a recording of another layout')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    import tempfile

    from mmskelssl.report.build import build_report
    from mmskelssl.report.page import bokeh_scripts, check_place, default_place, write_page
    from mmskelssl.report.sources import open_sources
    out = args.out or default_place(args.paths[0])
    check_place(out)
    _check(args)
    bokeh_scripts()  # a missing package costs no waiting
    sources = open_sources(args.paths, args.data, args.imports, args.device, args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        timeline = _timeline(args, sources[0], folder) if args.recording else None
        page = build_report(sources, args.split_pair, args.clips, args.seed, timeline)
    write_page(out, page)
    print(f'{out}: {len(page) / 1e6:.1f} MB; open it in a browser')


def _check(args: argparse.Namespace) -> None:
    for name, value in _OF_RECORDINGS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
        elif not args.recording:
            raise UserError(f'--{name} is for long recordings: add --recording CLIPS')


def _timeline(args: argparse.Namespace, source, folder: str):
    from mmskelssl.commands.clip_sources import read_clips
    from mmskelssl.report.recording import timeline_of
    if source.extractor is None:
        raise UserError(f'--recording: {"; ".join(source.problems)}')
    model = source.classifier or source.extractor
    sets = read_clips([args.recording], model, folder, 'all', args.layout, args.fps)
    if len(sets) > 1:
        raise UserError(f'{args.recording}: contains clips of several kinds; give one of them')
    pair = source.pair(args.split_pair) if source.store is not None else None
    return timeline_of(source, sets[0], pair.train if pair else None, args.window, args.stride, args.fps, args.persons,
                       args.convert)
