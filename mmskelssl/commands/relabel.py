"""Change labels, subjects, recordings and splits of a store's samples from a csv table, in place."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('table', nargs='?', metavar='CSV', help="with a header, a column name (the samples' ids) and "
                        'any of label, subject, recording, split; an empty cell takes the value away')
    parser.add_argument('--rename', nargs='+', default=[], metavar='OLD=NEW', help='rename classes; several with one '
                        'new name become one class')
    parser.add_argument('--overwrite', action='store_true', help='replace splits that the table names')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.datasets.store.relabel import relabel
    relabel(args.path, args.table, args.rename, args.overwrite)
