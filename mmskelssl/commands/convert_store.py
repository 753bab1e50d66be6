"""Write a store in another layout. Each joint is copied, interpolated by a rule, or refused; axes do not change."""
import argparse

from mmskelssl.commands.prepare import add_output, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--to', required=True, metavar='LAYOUT', help='layout of the new store: a name or a json file')
    parser.add_argument('--missing', choices=['ends', 'refuse', 'repeat'], default='ends', help='which joints that '
                        'the store lacks are copied from the nearest one towards the trunk: the ends of limbs and '
                        'head (ends, the default), none (refuse), or all (repeat)')
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.convert import convert
    convert(args.path, args.out, args.to, args.missing, args.overwrite)
    return report(args.out, args.strict)
