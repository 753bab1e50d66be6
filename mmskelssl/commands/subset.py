"""Write the samples of a store that meet all conditions to a new store."""
import argparse

from mmskelssl.commands.arguments import seed
from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--split', help='samples of this split')
    parser.add_argument('--classes', nargs='+', default=[], metavar='CLASS', help='samples of these classes, which are '
                        'renumbered')
    parser.add_argument('--subjects', nargs='+', type=int, default=[], metavar='SUBJECT', help='samples of these '
                        'subjects')
    parser.add_argument('--ids', metavar='FILE', help='samples listed in a text file, one id per line')
    parser.add_argument('--count', type=int, help='number of samples to draw at random from them')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the random choice (default 0)')
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.subset import subset
    subset(args.path, args.out, args.split, args.classes, args.subjects, args.ids, args.count, args.seed,
           args.overwrite)
    return report(args.out, args.strict)
