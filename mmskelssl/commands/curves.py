"""Draw the curves of a run: losses, nearest-neighbour accuracy and spread of the features.

Example:
  mmskelssl curves work_dirs/quickstart
"""
import argparse
import os.path as osp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir')
    parser.add_argument('--out', help='.png file to write; default: WORK_DIR/curves.png')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.visualization.curves import plot_curves
    print(f'wrote {plot_curves(args.work_dir, args.out or osp.join(args.work_dir, "curves.png"))}')
