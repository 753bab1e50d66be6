"""Cost of waiting threads: seconds per training step on a quiet machine, and next to one busy process.

Each way to wait gets its own process, because OpenMP reads the environment when it is loaded. The ways take turns, so a
change of the machine's load affects all of them. A figure is the median over the rounds.

Examples:
  python benchmarks/threads.py --out results/performance/threads.json
  python benchmarks/threads.py --steps 3 --rounds 1 --only default "1,000 turns"
"""
import argparse
import json
import os
import os.path as osp
import statistics
import subprocess
import sys
import time

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

from benchmarks import results_file
from mmskelssl.errors import one_line_errors

_ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
# Name -> environment. 300,000 turns are the default of GNU's OpenMP.
_SPINS = (100_000, 30_000, 10_000, 3_000, 1_000)
WAYS = {'default': {}, **{f'{spins:,} turns': {'GOMP_SPINCOUNT': str(spins)} for spins in _SPINS},
        'passive': {'OMP_WAIT_POLICY': 'PASSIVE'}, 'one thread': {'OMP_NUM_THREADS': '1'}}
_READ = ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')

# A step of the quick start: AimCLR on the embedded data set, its forward and backward pass and its optimiser.
STEP = '''
import hashlib, json, sys, time
import torch
from mmskelssl.engine.config import load_config
from mmskelssl.engine.rebuild import build_model
cfg = load_config('configs/aimclr_toy.py')[-1][1]
config = cfg.model.to_dict()
for part in (config['backbone'], config['data_preprocessor']):
    part.setdefault('layout', 'ntu25')
torch.manual_seed(0)
model = build_model(config, 'configs/aimclr_toy.py').train()
batch, frames = cfg.train_dataloader.batch_size, cfg.data.pipeline[2].frames
clips = torch.randn(batch, 3, frames, 25, 2)
optimizer = torch.optim.SGD(model.parameters(), .1)
data = dict(inputs=clips, data_samples=dict(index=torch.arange(batch), num_frames=torch.full((batch,), frames)))
seconds = []
for step in range(int(sys.argv[1]) + 1):
    start = time.perf_counter()
    made = model.data_preprocessor(data, True)
    losses = model(**made, mode='loss')
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    seconds.append(time.perf_counter() - start)
digest = hashlib.sha256(b''.join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()[:16]
print(json.dumps(dict(seconds=seconds[1:], threads=torch.get_num_threads(), digest=digest)))
'''


def measure(way: str, busy: bool, steps: int, limit: float) -> dict:
    """Seconds of each step, in a separate process; optionally next to a process that keeps a core busy."""
    env = {key: value for key, value in os.environ.items() if key not in _READ} | WAYS[way]
    env['PYTHONPATH'] = osp.pathsep.join(filter(None, (_ROOT, env.get('PYTHONPATH'))))
    other = subprocess.Popen([sys.executable, '-c', 'while True: pass']) if busy else None
    try:
        done = subprocess.run([sys.executable, '-c', STEP, str(steps)], env=env, capture_output=True, text=True,
                              timeout=limit, check=True, cwd=_ROOT)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return dict(seconds=[limit / (steps + 1)], at_least=True)
    finally:
        if other:
            other.kill()
            other.wait()


COLUMNS = ('threads wait', 'quiet, s', 'next to a busy process, s')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    return [result['way'], *(f'{"over " if result[f"{when}_at_least"] else ""}{result[when]:.2f}'
                             for when in ('quiet', 'busy'))]


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=10, help='of each process, after one warm-up step (default 10)')
    parser.add_argument('--rounds', type=int, default=3, help='processes for each figure (default 3)')
    parser.add_argument('--limit', type=float, default=240, help='seconds after which a process is ended (default 240)')
    parser.add_argument('--only', nargs='+', choices=WAYS, default=list(WAYS), metavar='WAY', help=', '.join(WAYS))
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    args = parser.parse_args()
    found: dict[tuple, list[dict]] = {}
    load = os.getloadavg()[0]
    for number in range(args.rounds):
        for way in args.only:
            for busy in (False, True):
                made = measure(way, busy, args.steps, args.limit)
                found.setdefault((way, busy), []).append(made)
                print(f'round {number + 1}, {way}, {"busy" if busy else "quiet"}: '
                      f'{statistics.median(made["seconds"]):.2f} s a step', flush=True)
    results = []
    for way in args.only:
        result = dict(way=way, environment=WAYS[way], threads=found[way, False][0].get('threads'),
                      digest=found[way, False][0].get('digest'))
        for when, busy in (('quiet', False), ('busy', True)):
            runs = [statistics.median(made['seconds']) for made in found[way, busy]]
            result.update({when: statistics.median(runs), f'{when}_rounds': runs,
                           f'{when}_at_least': any(made.get('at_least') for made in found[way, busy])})
        results.append(result)
    print(results_file.markdown(COLUMNS, map(row, results)), end='')
    if args.out:
        from mmskelssl.provenance import machine, versions
        results_file.write(args.out, results, load_at_start=load, cores=len(os.sched_getaffinity(0)), steps=args.steps,
                           versions=versions(), machine=machine(), date=time.strftime('%Y-%m-%d'))


if __name__ == '__main__':
    main()
