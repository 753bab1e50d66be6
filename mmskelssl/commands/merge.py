"""One pool of several stores with one layout, for pre-training and transfer."""
import argparse

from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('paths', nargs='+', metavar='STORE')
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.merge import merge
    merge(args.paths, args.out, args.overwrite)
    return report(args.out, args.strict)
