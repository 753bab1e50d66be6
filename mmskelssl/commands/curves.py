"""Draw the curves of runs: losses, nearest-neighbour accuracy and spread of the features.

Examples:
  mmskelssl curves work_dirs/quickstart
  mmskelssl curves work_dirs/simclr work_dirs/aimclr --over minutes --scalars val/knn_top1 --out knn.png
"""
import argparse
import os.path as osp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='folders of runs, drawn into one picture')
    parser.add_argument('--over', choices=('iterations', 'minutes'), default='iterations',
                        help='x axis: iterations, or CPU minutes of training without evaluations; default: iterations')
    parser.add_argument('--scalars', nargs='+', metavar='NAME', default=[],
                        help='names in the logs, a panel each; default: loss, accuracy and collapse metrics')
    parser.add_argument('--out', help='.png file to write; default for one run: WORK_DIR/curves.png')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.errors import UserError
    from mmskelssl.visualization.curves import plot_curves
    if args.out is None and len(args.work_dirs) > 1:
        raise UserError('several runs: name the picture with --out')
    out = args.out or osp.join(args.work_dirs[0], 'curves.png')
    print(f'wrote {plot_curves(args.work_dirs, out, args.over, args.scalars)}')
