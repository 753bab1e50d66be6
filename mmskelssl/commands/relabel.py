"""Change the labels, subjects, recordings and splits of a store's samples in place, using a csv table."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('table', nargs='?', metavar='CSV', help='table with a header, a column name (sample ids) and '
                        'any of label, subject, recording, split; an empty cell removes the value')
    parser.add_argument('--rename', nargs='+', default=[], metavar='OLD=NEW', help='rename classes; classes with the '
                        'same new name are merged')
    parser.add_argument('--overwrite', action='store_true', help='replace splits that the table names')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.datasets.store.relabel import relabel
    relabel(args.path, args.table, args.rename, args.overwrite)
