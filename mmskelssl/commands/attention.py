"""Draw the masks of a method on a clip, and measure whether they cover the joints that move.

For methods with a mask: ActCLR (its actionlet) and SkeAttnCLR (its attention, averaged over channels). Joints are
ranked by their mean speed within each clip. results.json contains the share of the mask on each quarter of the joints.

Example:
  mmskelssl attention work_dirs/actclr_toy/actclr/epoch_6.pth --split test --out work_dirs/masks
"""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoints', nargs='+', metavar='CKPT',
                        help='checkpoints, or work_dirs to use their last ones')
    parser.add_argument('--data', metavar='STORE', help='default: the store that it was trained on')
    parser.add_argument('--split', default='test', help='split of the store (default test)')
    parser.add_argument('--clips', type=int, default=512, help='number of evenly spaced clips to measure (default 512)')
    parser.add_argument('--sample', help='id of the clip to draw; default: the first of the split')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for pictures and results.json')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.masks import attention
    attention(**vars(args))
