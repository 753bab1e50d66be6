"""Pre-train and measure a config on several splits, streams and seeds. Finished runs are skipped.

Several streams are also fused into one classifier (stream `3s`, equal weights, by sample id). Several seeds are
summarised as mean and standard deviation. Each run has a folder below --out; results.json in --out contains all rows.

Examples:
  mmskelssl benchmark configs/aimclr_sbu.py --splits fold1 fold2 fold3 fold4 fold5
  mmskelssl benchmark configs/simclr_nwucla.py --streams joint bone motion --seeds 0 1 2 --protocols all
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_config_options, add_imports
from mmskelssl.commands.configs import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmskelssl.evaluation.ensemble import STREAMS
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument('--splits', nargs='+', default=[], metavar='SPLIT',
                        help='values of data.split, each measured only on its own pair of splits; several values are '
                             'treated as folds, whose test parts are pooled into one row')
    parser.add_argument('--streams', nargs='+', default=['joint'], choices=STREAMS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='seeds of pre-training (default 0)')
    parser.add_argument('--protocols', nargs='+', default=['knn', 'linear'], metavar='PROTOCOL',
                        help='default: knn linear; all selects every protocol that evaluate --help lists')
    parser.add_argument('--out', metavar='DIR', help='default: work_dirs/CONFIG_benchmark')
    add_config_options(parser, 'change the config, as for train')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.benchmark_runs import benchmark
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.evaluation.protocols import PROTOCOLS, recipes_of
    import_plugins(args.imports)
    args.protocols = list(PROTOCOLS) if 'all' in args.protocols else args.protocols
    for protocol in args.protocols:
        recipes_of(protocol)  # refuse unknown names before hours of training
    args.out = args.out or osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0] + '_benchmark')
    args.config = find_config(args.config)
    benchmark(**vars(args))
