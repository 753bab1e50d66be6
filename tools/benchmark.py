"""Pre-train and measure a config on several splits, streams and seeds; finished runs are not done again.

Several streams are also joined into one classifier (stream `3s`, equal weights, by sample id), several seeds summed up
as mean and standard deviation. Each run has a folder below --out; results.json at its top has all rows.

Examples:
  python tools/benchmark.py configs/aimclr_sbu.py --splits fold1 fold2 fold3 fold4 fold5
  python tools/benchmark.py configs/simclr_nwucla.py --streams joint bone motion --seeds 0 1 2 --protocols all
"""
import argparse
import os.path as osp

from mmengine.config import DictAction

from mmskelssl.errors import one_line_errors
from mmskelssl.evaluation.ensemble import STREAMS
from mmskelssl.evaluation.protocols import PROTOCOLS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--splits', nargs='+', default=[], metavar='SPLIT',
                        help='values of data.split, each measured on its own pair of splits alone; several are folds, '
                             'whose test parts are pooled into one row')
    parser.add_argument('--streams', nargs='+', default=['joint'], choices=STREAMS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--protocols', nargs='+', default=['knn', 'linear'], choices=[*PROTOCOLS, 'all'])
    parser.add_argument('--out', metavar='DIR', help='default work_dirs/CONFIG_benchmark')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    parser.add_argument('--imports', nargs='+', default=[], metavar='PLUGIN',
                        help='modules, or paths of packages and files, to import first')
    args = parser.parse_args()
    args.protocols = list(PROTOCOLS) if 'all' in args.protocols else args.protocols
    args.out = args.out or osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0] + '_benchmark')
    return args


@one_line_errors
def main() -> None:
    from mmskelssl.commands.benchmark import benchmark
    benchmark(**vars(parse_args()))


if __name__ == '__main__':
    main()
