"""Find every fault of a store; exit status 1 if training or measuring would be wrong with one."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')


def run(args: argparse.Namespace) -> int:
    from mmskelssl.datasets.store.verify import print_report, verify
    return print_report(verify(args.path))
