"""Report all faults of a store. The exit status is 1 if a fault would make training or evaluation wrong."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--near', nargs='?', type=float, const=0.05, metavar='DISTANCE', help='also search for near '
                        'duplicates across splits: the same movement resampled, shifted, rescaled or cut, up to this '
                        'distance (0.05 by default)')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.verify import print_report, verify
    return print_report(verify(args.path, args.near))
