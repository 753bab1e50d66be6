"""Write a repaired copy of a store: gaps, frames and persons without a body are fixed, other faults are left out."""
import argparse

from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    add_output(parser)
    parser.add_argument('--drop-twins', action='store_true',
                        help='remove test samples from their splits if a training sample has the same coordinates')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.repair import repair
    repair(args.path, args.out, args.drop_twins, args.overwrite)
    return report(args.out, args.strict)
