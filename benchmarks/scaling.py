"""Cost per sample of our training step, and memory, against everything that can grow: one plot each, and JSON.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/scaling.py --out results/performance/scaling
  OMP_NUM_THREADS=1 python benchmarks/scaling.py --only batch queue --repeats 7 --out /tmp/scaling
"""
import argparse
import glob
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import track

from benchmarks.cases import actclr, probes, skeattnclr, store
from benchmarks.cases.clips import build, clips
from benchmarks.cases.steps import progress, sgd, step
from benchmarks.measure import machine, seconds
from mmskelssl.atomic import write_atomically
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.errors import one_line_errors
from mmskelssl.evaluation.linear import linear_probe

ROOT = sys.path[0]
BY_JOINTS = {15: 'sbu15', 17: 'coco17', 20: 'kinect20', 25: 'openpose25', 31: 'cmu31', 33: 'mediapipe33'}


def training(family, batch: int = 8, frames: int = 48, joints: int = 25, persons: int = 2, queue: int = 4096):
    """One training step of ActCLR or SkeAttnCLR, 16 channels wide."""
    config = family.config(hidden=16, queue=queue)
    config['backbone']['layout'] = config['data_preprocessor']['layout'] = BY_JOINTS[joints]
    model = build(config)
    optimizer = sgd(model)
    views = {name: clips(batch, frames, persons, joints=joints, seed=i) for i, name in enumerate(family.VIEWS)}
    model.set_progress(progress(0))
    return lambda: step(model, optimizer, views), batch


def classes(number: int):
    """A linear probe on 2,048 features, an epoch of the paper's recipe."""
    x, labels = probes.features(2048, 256, number)
    labels[:number] = torch.arange(number)
    return lambda: linear_probe(x.numpy(), labels, x[:1].numpy(), 'paper', epochs=1, num_classes=number), len(x)


def bank(size: int):
    """KNN of 256 queries."""
    ours, _ = probes.knn_arms(size, 256, 256, 60)
    return ours, 256 * size  # a sample here is a comparison


# Quantity that grows -> values, and how to make the call and its number of samples.
SERIES = {
    'batch': ((4, 8, 16, 32), lambda n: training(actclr, batch=n)),
    'frames': ((24, 48, 96, 192), lambda n: training(actclr, frames=n)),
    'frames, with attention': ((24, 48, 96, 192), lambda n: training(skeattnclr, frames=n)),
    'joints': (tuple(sorted(BY_JOINTS)), lambda n: training(actclr, joints=n)),
    'persons': ((1, 2, 4), lambda n: training(actclr, persons=n)),
    'queue': ((4096, 16384, 65536), lambda n: training(actclr, queue=n)),
    'classes': ((10, 60, 120), classes),
    'bank': ((5000, 10000, 20000, 40000), bank),
}
MEMORY, PROCESSES = 'clips in the store', 'processes'


def memory(values: tuple[int, ...] = (1000, 4000, 16000)) -> dict:
    """MB that opening a store takes, by its number of clips."""
    made = []
    for samples in values:
        with tempfile.TemporaryDirectory() as folder:
            store.write(folder, samples, store.FRAMES)
            made.append(store.fresh(f'{folder}/store', 'store')['store_peak_mb'])
    return dict(values=list(values), megabytes=made)


def processes(values: tuple[int, ...] = (1, 2), epochs: int = 2, batch: int = 32, clips: int = 1000,
              model: dict | None = None) -> dict:
    """Seconds per clip of whole trainings over gloo, wall time of the last epoch, each process with the same batch."""
    made = []
    for number in values:
        with tempfile.TemporaryDirectory() as folder:
            write_toy_store(f'{folder}/store', clips)
            options = dict(data=dict(store=f'{folder}/store'), train_dataloader=dict(batch_size=batch),
                           train_cfg=dict(max_epochs=epochs), model=model or {})
            command = ['bash', 'tools/dist_train.sh', 'configs/skeletonclr_toy.py', str(number), '--work-dir',
                       f'{folder}/run', '--cfg-options',
                       *(f'{part}.{key}={value}' for part, keys in options.items() for key, value in keys.items())]
            path = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])  # dist_train.sh's python
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, 'PATH': path})
            with open(glob.glob(f'{folder}/run/*/vis_data/scalars.json')[0], encoding='utf-8') as file:
                lines = [json.loads(line) for line in file]
        made.append([line['time'] for line in lines if 'loss' in line][-1] / (batch * number))
    return dict(values=list(values), seconds_a_sample=made)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*SERIES, MEMORY, PROCESSES]
    parser.add_argument('--only', nargs='+', metavar='NAME', default=names, choices=names,
                        help=f'some of {", ".join(names)}; default all')
    parser.add_argument('--repeats', type=int, default=3, help='of each point, of which the median counts (default 3)')
    parser.add_argument('--out', required=True, metavar='DIR', help='scaling.json and scaling.png')
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    path, made, command = f'{args.out}/scaling.json', {}, shlex.join(['python', *sys.argv])
    if os.path.isfile(path):  # keep earlier measurements with their commands
        with open(path, encoding='utf-8') as file:
            made = json.load(file)['series']
    for name in track(args.only, 'scaling'):
        if name in (MEMORY, PROCESSES):
            made[name] = dict(memory() if name == MEMORY else processes(), command=command)
            continue
        values, factory = SERIES[name]
        made[name] = dict(values=list(values), seconds_a_sample=[], command=command)
        for value in values:
            function, samples = factory(value)
            function()
            took = statistics.median(seconds(function) for _ in range(args.repeats))
            made[name]['seconds_a_sample'].append(took / samples)
    os.makedirs(args.out, exist_ok=True)
    content = dict(series=made, machine=machine())
    write_atomically(path, (json.dumps(content, indent=1) + '\n').encode())
    draw(made, f'{args.out}/scaling.png')


def draw(made: dict, path: str) -> None:
    """One panel per series; dashed: the first point's cost, and linear growth with the value."""
    columns = min(3, len(made))
    rows = -(-len(made) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    for axis, (name, series) in zip(figure.subplots(rows, columns, squeeze=False).flat, made.items(), strict=False):
        kind = 'megabytes' if 'megabytes' in series else 'seconds_a_sample'
        axis.plot(series['values'], series[kind], marker='o')
        if kind != 'megabytes' and series[kind][0]:
            growth = [series[kind][0] * value / series['values'][0] for value in series['values']]
            if name != PROCESSES:
                axis.plot(series['values'], growth, '--', color='grey', linewidth=1, label='linear')
                axis.legend()
            axis.set(xscale='log', yscale='log')
        axis.set_xticks(series['values'], map(str, series['values']))
        axis.minorticks_off()
        axis.set(xlabel=name, ylabel='MB' if kind == 'megabytes' else 's a clip' if name == PROCESSES else 's a sample')
    figure.savefig(path, dpi=110)


if __name__ == '__main__':
    main()
