"""Find every fault of a store; exit status 1 if training or measuring would be wrong with one."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--near', nargs='?', type=float, const=0.05, metavar='DISTANCE', help='also look for near '
                        'duplicates across splits: the same movement resampled, shifted, rescaled or cut, up to this '
                        'distance (0.05 if none is given)')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.verify import print_report, verify
    return print_report(verify(args.path, args.near))
