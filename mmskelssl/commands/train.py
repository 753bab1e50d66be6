"""Pre-train an encoder. Runs all stages of a recipe in order in one work_dir.

Examples:
  mmskelssl train configs/actclr_toy.py
  mmskelssl train configs/actclr_ntu60.py --amp --cfg-options data.split=xview
  mmskelssl train configs/simclr_nwucla.py --amp auto
  mmskelssl train configs/aimclr_nwucla.py --cfg-options model.data_preprocessor.stream=bone
  mmskelssl train configs/actclr_nwucla.py --resume

On SIGTERM, SIGINT (Ctrl-C) or SIGUSR1, training finishes the iteration, saves and stops; --resume continues exactly.
"""
import argparse
import os

from mmskelssl.commands.arguments import add_config_options, add_launcher
from mmskelssl.shipped import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, such as configs/actclr_toy.py, or the name of a shipped one, such '
                                       'as actclr_toy')
    parser.add_argument('--work-dir', help="folder for logs and checkpoints; default: the config's work_dir, else "
                                           'work_dirs/CONFIG')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='PATH',
                        help='continue an interrupted run from its newest intact checkpoint, or from PATH')
    parser.add_argument('--allow-change', action='store_true',
                        help='with --resume, also if config, data, batch size or number of processes have changed')
    parser.add_argument('--init-from', metavar='CKPT',
                        help="start from this encoder; replaces the recipe's earlier stages")
    parser.add_argument('--amp', nargs='?', const=True, default=False, type=_amp, metavar='auto',
                        help='train in bfloat16; --amp auto measures for two seconds whether it is faster here')
    parser.add_argument('--compile', nargs='?', const=True, default=False, choices=['encoders', 'loss', 'graph'],
                        metavar='PART', help='torch.compile of the encoders (default) or of the whole loss, or CUDA '
                                             'graphs of the loss (graph); for GPUs')
    parser.add_argument('--threads', type=_threads, metavar='auto|N', help='number of threads; auto measures for two '
                        'seconds how many are best beside the other work of this machine')
    parser.add_argument('--auto-scale-lr', action='store_true', help='multiply the learning rate by the number of '
                        "clips in a step, of all processes, over the config's batch size")
    parser.add_argument('--seed', type=int,
                        help='seed of weights, order and augmentation; default: randomness.seed of the config, or 0')
    add_config_options(parser, 'change the config; stages.NAME.KEY=VALUE changes only one stage')
    add_launcher(parser)


def _amp(text: str) -> str:
    if text != 'auto':
        raise argparse.ArgumentTypeError(f'{text!r}: give nothing or auto; the config goes before --amp')
    return text


def _threads(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else text


def run(args: argparse.Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    options = {key: value for key, value in vars(args).items() if key != 'local_rank'}
    options['config'] = find_config(args.config)
    from mmskelssl.engine.train import train
    train(**options)
