"""Repair what can be repaired into a new store: gaps, frames and persons without a body; the rest is left out."""
import argparse

from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    add_output(parser)
    parser.add_argument('--drop-twins', action='store_true',
                        help='leave test samples out of their splits whose coordinates a training sample has too')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.repair import repair
    repair(args.path, args.out, args.drop_twins, args.overwrite)
    return report(args.out, args.strict)
