"""Measure the package against a plain implementation of the same arithmetic, both arms in one process, in turn.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/run.py --quick
  OMP_NUM_THREADS=1 python benchmarks/run.py --only B1 B6
  OMP_NUM_THREADS=1 python benchmarks/run.py --out results/performance/cpu.json

docs/performance.md explains each figure; benchmarks/tables.py writes its tables.
"""
import argparse
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import mmengine
import numpy
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import results_file
from benchmarks.cases import (
    actclr,
    crrl,
    data_path,
    extraction,
    importing,
    loop,
    losses,
    mamp,
    preprocess,
    probes,
    skeattnclr,
    store,
)
from benchmarks.measure import Benchmark, floor_seconds, machine, over_products, paired, peaks
from mmskelssl.errors import UserError, one_line_errors

MODULES = (actclr, skeattnclr, crrl, extraction, data_path, probes, losses, preprocess, store, loop, importing, mamp)
VERSIONS = dict(python=sys.version.split()[0], torch=torch.__version__, numpy=numpy.__version__,
                mmengine=mmengine.__version__)
BENCHMARKS: dict[str, Benchmark] = {name: made for module in MODULES for name, made in module.BENCHMARKS.items()}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', metavar='ID', help=f'some of {", ".join(BENCHMARKS)}; default all')
    parser.add_argument('--quick', action='store_true', help='two pairs each, to check that everything runs')
    parser.add_argument('--out', metavar='FILE', help='write JSON; results of other ids in the file are kept')
    args = parser.parse_args()
    unknown = set(args.only or ()) - set(BENCHMARKS)
    if unknown:
        parser.error(f'unknown benchmark {min(unknown)}: choose from {", ".join(BENCHMARKS)}')
    return args


def measure(name: str, quick: bool) -> dict:
    """Check that both arms agree, then time them."""
    benchmark = BENCHMARKS[name]
    about = dict(id=name, title=benchmark.title, goal=benchmark.goal, quick=quick)
    if name == 'B10':  # its arms run inside a training
        return dict(about, **benchmark.make(quick), parity=None, floor_s=None, floor_ratio=None)
    parity = benchmark.check()
    if not parity <= benchmark.tolerance:
        raise UserError(f'{name}: the arms differ by {parity:.1e}, more than {benchmark.tolerance:.0e}; '
                        'a faster but different result does not count')
    case = benchmark.make(quick)
    rates = peaks()  # each time: the speed of a shared machine varies
    pairs = 2 if quick else benchmark.pairs
    times = paired(case, pairs)
    products = dict(products_ratio=over_products(case.ours, pairs)) if case.products else {}
    floor = floor_seconds(case, rates)
    return dict(about, **times, parity=parity, samples=case.samples, floor_s=floor or None,
                floor_ratio=times['ours_s'] / floor if floor else None, peaks=rates, **products, **case.extra)


COLUMNS = ('id', 'what', 'ours / plain', 'quartiles', 'goal', 'ours ms', 'plain ms', 'above the floor', 'parity')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    low, high = result['spread']
    goal, floor = result['goal'], result['floor_ratio']
    above = f'{floor:.1f} x' if floor else ''
    if 'products_ratio' in result:
        above += f'; {result["products_ratio"]:.2f} x its products'
    met = '' if goal is None else ' met' if result['ratio'] <= goal else ' MISSED'
    return [result['id'], result['title'], f'{result["ratio"]:.3g}', f'{low:.3g} .. {high:.3g}',
            '' if goal is None else f'{goal:g}{met}', f'{1000 * result["ours_s"]:.4g}',
            f'{1000 * result["reference_s"]:.4g}', above,
            '' if result['parity'] is None else f'{result["parity"]:.0e}']


@one_line_errors
def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    console, results = Console(), []
    for name in args.only or BENCHMARKS:
        with console.status(f'{name}: {BENCHMARKS[name].title}'):
            results.append(measure(name, args.quick))
        console.print('  '.join(row(results[-1])))
        if args.out:
            results_file.update(args.out, results, BENCHMARKS, machine=machine(), versions=VERSIONS)
    table = Table(*COLUMNS)
    for result in results:
        table.add_row(*row(result))
    console.print(table)


if __name__ == '__main__':
    main()
