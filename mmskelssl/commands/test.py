"""Measure a checkpoint with the model and data of a config, as is usual in OpenMMLab (see also evaluate).

Use it for checkpoints that do not describe their model, such as converted ones.

Example:
  mmskelssl test configs/aimclr_toy.py work_dirs/aimclr_toy/epoch_16.pth
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_config_options
from mmskelssl.commands.evaluate import add_common, common
from mmskelssl.shipped import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint, or a work_dir to use its last one')
    parser.add_argument('--protocols', nargs='+', metavar='PROTOCOL', default=['knn', 'linear'],
                        help='default: knn linear; evaluate --help lists all')
    add_config_options(parser, 'change the config, as for train')
    add_common(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.measure import evaluate_with_config
    from mmskelssl.engine.distributed import launched
    from mmskelssl.engine.work_dir import last_checkpoint
    with launched(args.launcher):
        checkpoint = last_checkpoint(args.checkpoint)
        out = args.out or osp.splitext(checkpoint)[0] + '_eval'
        evaluate_with_config(find_config(args.config), checkpoint, args.protocols, out, cfg_options=args.cfg_options,
                             **common(args))
