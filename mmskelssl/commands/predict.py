"""Classify clips with a classifier that mmskelssl fit has saved.

CLIPS are stores, files, folders or archives in any format that mmskelssl detect recognises, or - for JSON lines on
standard input: {"id": "a", "keypoints": [...], "fps": 30}, with keypoints (T, V, C) or (M, T, V, C). The answer is the
most probable class of a clip, or "unknown" if its probability is below the threshold of the classifier (fit --reject).

With --window, long recordings are classified window by window, and the windows are merged into segments.

Examples:
  mmskelssl predict models/mine new_clip.npy
  mmskelssl predict models/mine data/mine --split test --out predictions.csv --top 3
  mmskelssl predict models/mine clips/ --fps 60 --convert --draw predictions.mp4
  cat clips.jsonl | mmskelssl predict models/mine - --out predictions.json
  mmskelssl predict models/mine day.npy --window 2 --fps 30 --segments day.csv --timeline day.png
"""
import argparse

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError

_OF_WINDOWS = dict(stride=.5, persons=None, segments=None, timeline=None, enter=.6, leave=.4, shortest=1.)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('model', metavar='DIR', help='folder of a classifier, or its name on the Hugging Face hub')
    parser.add_argument('clips', nargs='+', metavar='CLIPS', help='stores, files, folders, archives, or - for JSON '
                        'lines on standard input')
    parser.add_argument('--out', metavar='FILE', help='.csv, .json or .npz to write; default: print a table')
    parser.add_argument('--top', type=int, default=2, metavar='K', help='classes to write for each clip (default 2)')
    parser.add_argument('--draw', metavar='FILE', help='.mp4, .gif or .png with the first clips and their classes')
    parser.add_argument('--split', default='all', help='split of the stores (default all)')
    parser.add_argument('--layout', help='layout of files that do not state theirs: a name, or a json file')
    parser.add_argument('--convert', action='store_true', help='convert clips of another layout, if each joint of the '
                        'model has a counterpart')
    parser.add_argument('--fps', type=float, help='frames per second of clips that do not state theirs')
    parser.add_argument('--batch-size', type=int, default=256, help='clips per batch (default 256)')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    group = parser.add_argument_group('long recordings')
    group.add_argument('--window', type=float, metavar='SECONDS', help='classify windows of this duration')
    group.add_argument('--stride', type=float, metavar='SECONDS', help='from one window to the next (default 0.5)')
    group.add_argument('--persons', choices=['each', 'together'], help='windows of each person, or of all together; '
                       'default: each for a classifier of one person')
    group.add_argument('--segments', metavar='FILE', help='.csv or .json of segments to write; default: print them')
    group.add_argument('--timeline', metavar='FILE', help='.png with skeletons and probabilities over time')
    group.add_argument('--enter', type=float, metavar='P', help='probability that starts a segment (default 0.6)')
    group.add_argument('--leave', type=float, metavar='P', help='probability below which it ends (default 0.4)')
    group.add_argument('--shortest', type=float, metavar='SECONDS', help='least duration of a segment (default 1)')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    import tempfile

    from mmskelssl.commands.clip_sources import read_clips
    from mmskelssl.inference.classifier import SkeletonClassifier
    _check(args)
    classifier = SkeletonClassifier.from_pretrained(args.model, args.device, args.batch_size, args.imports)
    with tempfile.TemporaryDirectory() as folder:
        sets = read_clips(args.clips, classifier, folder, args.split, args.layout, args.fps)
        if args.window is None:
            _clips(args, classifier, sets)
        else:
            _windows(args, classifier, sets)


def _check(args: argparse.Namespace) -> None:
    from mmskelssl.commands.clip_sources import refuse_inputs
    from mmskelssl.inference.output import check_output
    from mmskelssl.inference.segments import check_limits
    from mmskelssl.visualization.files import check_suffix
    if args.top < 1:
        raise UserError(f'--top {args.top}: expected 1 or more')
    if args.window is None and (given := [name for name in _OF_WINDOWS if getattr(args, name) is not None]):
        raise UserError(f'--{given[0]} is for long recordings: add --window SECONDS')
    if args.window is not None and args.draw:
        raise UserError('--draw is for clips; use --timeline for long recordings')
    if args.out:
        check_output(args.out)
    if args.draw:
        check_suffix(args.draw)
    if args.timeline and not args.timeline.lower().endswith('.png'):
        raise UserError(f'{args.timeline}: the suffix must be .png')
    for name, value in _OF_WINDOWS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.segments and not args.segments.lower().endswith(('.csv', '.json')):
        raise UserError(f'{args.segments}: the suffix must be .csv or .json')
    if args.window is not None:
        check_limits(args.enter, args.leave, args.shortest)
    refuse_inputs(args.clips, args.out, args.draw, args.segments, args.timeline)


def _clips(args: argparse.Namespace, classifier, sets) -> None:
    from mmskelssl.commands.clip_sources import say
    from mmskelssl.inference.output import draw_predictions, header, print_table, table, write_predictions
    from mmskelssl.inference.predictions import joined
    predictions = joined([classifier(clips, convert=args.convert) for clips in sets])
    if args.out:
        write_predictions(args.out, predictions, args.top)
        print(f'{args.out}: {len(predictions)} clips, {int(predictions.unknown.sum())} unknown')
    else:
        print_table(header(predictions, args.top), table(predictions, args.top))
    if args.draw:
        count = draw_predictions(args.draw, sets, predictions, sets[0].fps or classifier.fps)
        say(f'{args.draw}: {count} of {len(predictions)} clips drawn')


def _windows(args: argparse.Namespace, classifier, sets) -> None:
    from mmskelssl.commands.clip_sources import say
    from mmskelssl.inference.output import draw_segments, print_table, segment_rows, write_predictions, write_segments
    from mmskelssl.inference.predictions import joined
    if args.timeline and len(sets) > 1:
        raise UserError('--timeline draws the recordings of one path')
    timelines = [classifier.over_time(clips, args.window, args.stride, args.fps, args.persons, args.convert)
                 for clips in sets]
    found = [one for timeline in timelines for one in timeline.segments(args.enter, args.leave, args.shortest)]
    if args.out:
        predictions = joined([timeline.predictions for timeline in timelines])
        more = {key: [value for timeline in timelines for value in timeline.columns[key]]
                for key in timelines[0].columns}
        write_predictions(args.out, predictions, args.top, more)
        print(f'{args.out}: {len(predictions)} windows')
    if args.segments:
        write_segments(args.segments, found)
        print(f'{args.segments}: {len(found)} segments')
    else:
        print_table(*segment_rows(found))
    if args.timeline:
        tracks = len({(window.clip, window.person) for window in timelines[0].windows})
        say(f'{args.timeline}: {draw_segments(args.timeline, timelines[0], found)} of {tracks} tracks drawn')
