"""Pre-train and measure a config on several splits, streams and seeds. Finished runs are skipped.

Several streams are also fused into one classifier, by sample id: `3s` is joint, bone and motion, `4s` also has the
invariant stream. Several seeds are summarised as mean and standard deviation. Each run has a folder below --out;
results.json in --out contains the rows of all commands. Only a repeated measurement replaces its rows.

Examples:
  mmskelssl benchmark configs/aimclr_sbu.py --splits fold1 fold2 fold3 fold4 fold5
  mmskelssl benchmark configs/simclr_nwucla.py --streams joint bone motion --seeds 0 1 2 --protocols all
  mmskelssl benchmark simclr_nwucla --streams joint bone motion invariant --weights 4s
  mmskelssl benchmark actclr_ntu60 --streams joint bone motion --recipe paper-actclr --weights paper-actclr-xsub \\
      --protocols linear --splits xsub
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_config_options, add_imports
from mmskelssl.commands.evaluate import add_weights, default_recipes
from mmskelssl.errors import UserError
from mmskelssl.shipped import find_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmskelssl.evaluation.ensemble import STREAMS
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument('--splits', nargs='+', default=[], metavar='SPLIT',
                        help='values of data.split, each measured only on its own pair of splits; several values are '
                             'treated as folds, whose test parts are pooled into one row')
    parser.add_argument('--streams', nargs='+', default=[], choices=STREAMS,
                        help='default: that of the config')
    parser.add_argument('--seeds', nargs='+', type=int, default=[],
                        help='seeds of pre-training; default: that of the config, or 0')
    parser.add_argument('--protocols', nargs='+', default=['knn', 'linear'], metavar='PROTOCOL',
                        help='default: knn linear; all selects every protocol that evaluate --help lists')
    parser.add_argument('--recipe', nargs='+', metavar='NAME[:FIELD=VALUE,...]', dest='recipes',
                        help=f'recipes of these protocols; default: {default_recipes()}')
    add_weights(parser, 'weights of the streams: equal (default), a number for each stream, or the fixed weights of a '
                        'paper, which were tuned on the test split')
    parser.add_argument('--out', metavar='DIR', help='default: work_dirs/CONFIG_benchmark')
    add_config_options(parser, 'change the config, as for train')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.benchmark_runs import benchmark
    from mmskelssl.commands.measure import choose_recipes
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.evaluation.ensemble import parse_weights
    from mmskelssl.evaluation.protocols import PROTOCOLS
    import_plugins(args.imports)
    every = 'all' in args.protocols
    args.protocols = list(PROTOCOLS) if every else args.protocols
    without = [name for name in args.protocols if name not in choose_recipes(args.protocols, args.recipes)]
    if without and not every:
        raise UserError(f'--protocols {without[0]}: it has none of the recipes {" ".join(args.recipes)}; add one, or '
                        'leave it out')
    args.weights = parse_weights(args.weights or 'equal')
    args.out = args.out or osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0] + '_benchmark')
    args.config = find_config(args.config)
    benchmark(**vars(args))
