"""How good the choice of `--threads auto` is: its steps against those with the best number of threads.

A process chooses, and then measures whole steps with every number of threads, which take turns. It does so on the
machine as it is, and next to a process that keeps a core busy.

Examples:
  env -u OMP_NUM_THREADS python benchmarks/thread_choice.py --out results/performance/thread_choice.json
  python benchmarks/thread_choice.py --rounds 1 --seconds 2 --configs simclr_toy
"""
import argparse
import json
import os
import os.path as osp
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

from benchmarks import results_file
from mmskelssl.errors import UserError, one_line_errors

_ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
CONFIGS = ('aimclr_toy', 'simclr_toy', 'crrlmotion_toy')
COLUMNS = ('config', 'machine', 'a step with each number of threads, ms', 'chosen', 'chosen / best')
MEASURE = '''
import json, sys
from functools import partial
from mmskelssl.threads import limit_spinning
limit_spinning()
import mmskelssl.engine, mmskelssl.datasets, mmskelssl.models
from mmskelssl.engine import step_time
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.thread_choice import candidates, choose_threads, using_threads
import torch
cfg, _ = complete(load_config(f'configs/{sys.argv[1]}.py', {'data.store': sys.argv[2]})[-1][1])
numbers = candidates(torch.get_num_threads())
chosen, lines = choose_threads(cfg, 'auto')
step_time.ON_A_CPU = cfg.train_dataloader.batch_size  # whole steps
times = step_time.step_times(cfg, float(sys.argv[3]), [partial(using_threads, number) for number in numbers])
print(json.dumps(dict(numbers=numbers, times=times, chosen=chosen, said=lines)))
'''


def measure(config: str, store: str, busy: bool, seconds: float) -> dict:
    """Choose, and measure, in a separate process; optionally next to a process that keeps a core busy."""
    env = {**os.environ, 'PYTHONPATH': osp.pathsep.join(filter(None, (_ROOT, os.environ.get('PYTHONPATH'))))}
    other = subprocess.Popen([sys.executable, '-c', 'while True: pass']) if busy else None
    try:
        done = subprocess.run([sys.executable, '-c', MEASURE, config, store, str(seconds)], env=env, cwd=_ROOT,
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        if other:
            other.kill()
            other.wait()


def summary(config: str, busy: bool, rounds: list[dict]) -> dict:
    """Return the median of each figure over the processes."""
    numbers = rounds[0]['numbers']
    ratios = [made['times'][numbers.index(made['chosen'])] / min(made['times']) for made in rounds]
    return dict(config=config, busy=busy, numbers=numbers, ratio=statistics.median(ratios), ratios=ratios,
                times=[statistics.median(made['times'][i] for made in rounds) for i in range(len(numbers))],
                chosen=[made['chosen'] for made in rounds])


def row(result: dict) -> list[str]:
    """Cells of the table."""
    times = ', '.join(f'{number}: {1000 * taken:.0f}' for number, taken in zip(result['numbers'], result['times'],
                                                                              strict=True))
    return [result['config'], 'busy' if result['busy'] else 'quiet', times, ', '.join(map(str, result['chosen'])),
            f'{result["ratio"]:.2f}']


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', nargs='+', default=CONFIGS, metavar='NAME', help='default: ' + ', '.join(CONFIGS))
    parser.add_argument('--seconds', type=float, default=10, help='to measure steps after the choice (default 10)')
    parser.add_argument('--rounds', type=int, default=3, help='processes for each figure (default 3)')
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    args = parser.parse_args()
    if os.environ.get('OMP_NUM_THREADS'):
        raise UserError('OMP_NUM_THREADS is set, so there is nothing to choose: unset it (env -u OMP_NUM_THREADS)')
    load, results = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as folder:
        from mmskelssl.datasets.toy.store import write_toy_store
        store = write_toy_store(f'{folder}/toy', num_samples=200)
        for config in args.configs:
            for busy in (False, True):
                results.append(summary(config, busy, [measure(config, store, busy, args.seconds)
                                                      for _ in range(args.rounds)]))
                print(' | '.join(row(results[-1])), flush=True)
    if args.out:
        from mmskelssl.provenance import machine, versions
        results_file.write(args.out, results, load_at_start=load, cores=len(os.sched_getaffinity(0)),
                           seconds=args.seconds, versions=versions(), machine=machine(), date=time.strftime('%Y-%m-%d'))


if __name__ == '__main__':
    main()
