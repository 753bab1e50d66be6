"""Classify clips with a classifier that mmskelssl fit has kept.

CLIPS are stores, files, folders or archives in any format that mmskelssl detect recognises, or - for JSON lines on
standard input: {"id": "a", "keypoints": [...], "fps": 30}, with keypoints (T, V, C) or (M, T, V, C). The answer is the
most probable class of a clip, or "unknown" if its probability is below the threshold of the classifier (fit --reject).

Examples:
  mmskelssl predict models/mine new_clip.npy
  mmskelssl predict models/mine data/mine --split test --out predictions.csv --top 3
  mmskelssl predict models/mine recordings/ --fps 60 --convert --draw predictions.mp4
  cat clips.jsonl | mmskelssl predict models/mine - --out predictions.json
"""
import argparse

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError


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
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    import tempfile

    from mmskelssl.commands.clip_sources import read_clips, say
    from mmskelssl.inference.classifier import SkeletonClassifier
    from mmskelssl.inference.predictions import (
        check_output,
        draw_predictions,
        joined,
        print_table,
        write_predictions,
    )
    if args.top < 1:
        raise UserError(f'--top {args.top}: expected 1 or more')
    if args.out:
        check_output(args.out)
    if args.draw:
        from mmskelssl.visualization.files import check_suffix
        check_suffix(args.draw)
    classifier = SkeletonClassifier.from_pretrained(args.model, args.device, args.batch_size, args.imports)
    with tempfile.TemporaryDirectory() as folder:
        sets = read_clips(args.clips, classifier, folder, args.split, args.layout, args.fps)
        predictions = joined([classifier(clips, convert=args.convert) for clips in sets])
        if args.out:
            write_predictions(args.out, predictions, args.top)
            print(f'{args.out}: {len(predictions)} clips, {int(predictions.unknown.sum())} unknown')
        else:
            print_table(predictions, args.top)
        if args.draw:
            count = draw_predictions(args.draw, sets, predictions, sets[0].fps or classifier.fps)
            say(f'{args.draw}: {count} of {len(predictions)} clips drawn')
