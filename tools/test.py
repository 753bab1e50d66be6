"""Measure a checkpoint with the model and the data of a config (OpenMMLab's habit; see tools/evaluate.py).

Use it for checkpoints that do not describe their model, such as converted ones.

Example:
  python tools/test.py configs/aimclr_toy.py work_dirs/aimclr_toy/epoch_16.pth
"""
import argparse
import os.path as osp

from evaluate import add_common, common
from mmengine.config import DictAction

from mmskelssl.errors import one_line_errors
from mmskelssl.evaluation.protocols import PROTOCOLS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoint', metavar='CKPT')
    parser.add_argument('--protocols', nargs='+', choices=PROTOCOLS, default=['knn', 'linear'])
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='change the config, as for tools/train.py')
    add_common(parser)
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    from mmskelssl.commands.measure import evaluate_with_config
    out = args.out or osp.splitext(args.checkpoint)[0] + '_eval'
    evaluate_with_config(args.config, args.checkpoint, args.protocols, out, cfg_options=args.cfg_options,
                         **common(args))


if __name__ == '__main__':
    main()
