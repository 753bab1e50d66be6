"""Draw a run's curves: losses, nearest neighbours, spread of the features.

Example:
  mmskelssl curves work_dirs/quickstart --out curves.png
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir')
    parser.add_argument('--out', required=True, help='picture: .png')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.visualization.curves import plot_curves
    plot_curves(args.work_dir, args.out)
    print(f'wrote {args.out}')
