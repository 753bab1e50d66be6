"""Measure encoders: nearest neighbours and linear probes on features extracted once.

Examples:
  python tools/evaluate.py all work_dirs/aimclr_toy/epoch_30.pth --untrained
  python tools/evaluate.py linear CKPT --recipe paper --data data/nwucla --split-pairs train:test xsub_train:xsub_test
"""
import argparse
import os.path as osp

from mmskelssl.errors import one_line_errors
from mmskelssl.evaluation.linear import RECIPES
from mmskelssl.evaluation.protocols import KNN_RECIPES


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options shared with tools/test.py."""
    parser.add_argument('--data', metavar='STORE', help='store to measure on; default the one it was trained on')
    parser.add_argument('--out', metavar='DIR', help='where results.json goes; default DIR_OF_CKPT/NAME_OF_CKPT_eval')
    parser.add_argument('--recipe', nargs='+', choices=[*KNN_RECIPES, *RECIPES], metavar='NAME',
                        help=f'some of {", ".join([*KNN_RECIPES, *RECIPES])}; default 1nn 20nn logreg paper')
    parser.add_argument('--split-pairs', nargs='+', metavar='TRAIN:TEST', help='default: those that the store has')
    parser.add_argument('--untrained', action='store_true', help='also measure the same encoder before training')
    parser.add_argument('--seed', type=int, default=0, help='of the probe')
    parser.add_argument('--batch-size', type=int, default=256)
    parser.add_argument('--device', help='such as cuda; default the GPU where there is one')
    parser.add_argument('--imports', nargs='+', default=[], metavar='PLUGIN',
                        help='modules, or paths of packages and files, to import first')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('protocol', choices=['knn', 'linear', 'all'])
    parser.add_argument('checkpoints', nargs='+', metavar='CKPT')
    add_common(parser)
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    from mmskelssl.evaluation.command import evaluate_checkpoints
    protocols = ['knn', 'linear'] if args.protocol == 'all' else [args.protocol]
    out = args.out or osp.splitext(args.checkpoints[-1])[0] + '_eval'
    evaluate_checkpoints(args.checkpoints, protocols, out, data=args.data, recipes=args.recipe, pairs=args.split_pairs,
                         untrained=args.untrained, seed=args.seed, batch_size=args.batch_size, device=args.device,
                         imports=args.imports)


if __name__ == '__main__':
    main()
