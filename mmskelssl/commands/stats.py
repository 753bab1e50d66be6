"""Print lengths, classes, persons, coordinate ranges and motion energy of a store."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', metavar='STORE')
    parser.add_argument('--plot', metavar='FILE', help='also draw them to this picture')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.datasets.store.statistics import print_stats, store_stats
    stats = store_stats(args.path)
    print_stats(stats)
    if args.plot:
        from mmskelssl.visualization.stats import plot_stats
        plot_stats(stats, args.plot)
