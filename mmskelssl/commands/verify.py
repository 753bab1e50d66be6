"""Report all faults of stores. The exit status is 1 if a fault would make training or evaluation wrong.

Several stores are checked one by one. With --near, clips that two of them have in common are reported as well, which
an encoder that is trained on all of them must not meet in a test split.

Examples:
  mmskelssl verify data/nwucla --near
  mmskelssl verify data/nwucla data/msr data/bandai --near
"""
import argparse

from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('paths', nargs='+', metavar='STORE')
    parser.add_argument('--near', nargs='?', type=float, const=0.05, metavar='DISTANCE', help='also search for near '
                        'duplicates across splits, and across stores: the same movement resampled, shifted, rescaled '
                        'or cut, up to this distance (0.05 by default)')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.verify import print_report, verify, verify_across
    several = len(args.paths) > 1
    if len(set(args.paths)) < len(args.paths):
        raise UserError('a store is named twice')
    status = 0
    for path in args.paths:
        if several:
            print(f'{path}:')
        status = max(status, print_report(verify(path, args.near)))
    if several and args.near is not None and not status:
        print('across stores:')
        status = print_report(verify_across(args.paths, args.near))
    return status
