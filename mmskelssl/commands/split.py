"""Draw a training and a test split of a store, in place."""
import argparse

from mmskelssl.commands.arguments import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--share', type=float, required=True, help='share of the samples in the test split, such as '
                        '0.2')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the random choice (default 0)')
    parser.add_argument('--by', choices=['class', 'subject', 'recording'], help='class: the same share of each class; '
                        'subject, recording: all samples of one in the same split; default: class if there are '
                        'labels, else any samples')
    parser.add_argument('--name', default='', help='names the splits NAME_train and NAME_test, for data.split=NAME; '
                        'default: train and test')
    parser.add_argument('--overwrite', action='store_true', help='replace existing splits with these names')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.datasets.store.split import draw_split
    draw_split(args.path, args.share, args.seed, args.by, args.name, args.overwrite)
