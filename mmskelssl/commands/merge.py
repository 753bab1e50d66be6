"""Merge several stores into one for pre-training and transfer."""
import argparse

from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('paths', nargs='+', metavar='STORE')
    parser.add_argument('--to', metavar='LAYOUT', help='convert each store to this layout: a name or a json file')
    parser.add_argument('--names', action='store_true', help='merge stores of different layouts by canonical joint '
                        'names: all joints of all stores, with a mask of the joints that each store has')
    parser.add_argument('--missing', choices=['ends', 'refuse', 'repeat'], default='ends', help='with --to: which '
                        'joints that a store lacks are copied from the nearest one towards the trunk: the ends of '
                        'limbs and head (ends, the default), none (refuse), or all (repeat)')
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.merge import merge
    merge(args.paths, args.out, args.overwrite, args.to, args.names, args.missing)
    return report(args.out, args.strict)
