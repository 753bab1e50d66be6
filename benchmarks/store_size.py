"""Time and memory of a store of shards against its number of clips: opening, the order of an epoch, reading batches.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/store_size.py --out results/performance/store_size.json
  python benchmarks/store_size.py --clips 1000 10000 --out /tmp/store_size.json

The clips have the sizes of NTU RGB+D's, 287 rows of 25 joints on average, so a million of them are 86 GB. Their frames
are sparse files, which need no disk space. Each size is measured in a process of its own. Memory is that of the process
alone; pages of mapped files, which the system takes back when it needs them, are a column of their own.
"""
import argparse
import json
import os
import os.path as osp
import subprocess
import sys
import tempfile

os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measure import machine
from benchmarks.results_file import update
from mmskelssl.datasets.store.schema import SHARDS
from mmskelssl.datasets.store.shard import NUMBERS
from mmskelssl.datasets.store.shard_files import FOLDER, file_name
from mmskelssl.datasets.store.shard_writer import write_index
from mmskelssl.errors import one_line_errors

CLIPS = (1_000, 10_000, 100_000, 1_000_000)
ROW = 25 * 3 * 4  # bytes
PER_SHARD = (512 << 20) // (287 * ROW)  # clips
COLUMNS = ('clips', 'GB', 'open ms', 'MB', 'order ms', 'MB', 'peak MB', 'mapped MB', 'windows ms', 'peak MB', 'clip µs',
           'MB more after 10,000 batches')
PANELS = (('open_ms', 'open, ms'), ('open_mb', 'open, MB'), ('order_ms', 'order of an epoch, ms'),
          ('order_mb', 'order of an epoch, MB'), ('clip_us', 'read a clip, µs'),
          ('batches_mb', 'growth over 10,000 batches, MB'))
MEASURE = """
import gc, json, sys, time
from types import SimpleNamespace
import numpy as np
from mmskelssl.datasets.shard_sampler import ShardSampler
from mmskelssl.datasets.store.reader import SkeletonStore
def memory():
    gc.collect()
    with open('/proc/self/status') as file:
        found = {line.split(':')[0]: int(line.split()[1]) / 1024 for line in file if line.startswith(('Rss', 'VmHWM'))}
    return found['RssAnon'], found['RssFile'], found['VmHWM']
def ms(start): return 1e3 * (time.perf_counter() - start)
before, start = memory(), time.perf_counter()
store = SkeletonStore(sys.argv[1])
figures = dict(open_ms=ms(start), open_mb=sum(memory()[:2]) - sum(before[:2]))
with open('/proc/self/clear_refs', 'w') as file: file.write('5')  # forget the highest memory so far
before, start = memory(), time.perf_counter()
order = np.random.default_rng(0).permutation(store.split('train'))
figures['order_ms'] = ms(start)
figures['order_mb'], figures['mapped_mb'], peak = (after - old for after, old in zip(memory(), before))
figures['peak_mb'] = peak - figures['mapped_mb']
data = SimpleNamespace(store=store, positions=order.copy())
data.positions.sort()
with open('/proc/self/clear_refs', 'w') as file: file.write('5')
before, start = memory(), time.perf_counter()
drawn = sum(len(part) for part in ShardSampler(data, seed=0).windows())
figures['windows_ms'] = ms(start)
figures['windows_peak_mb'] = memory()[2] - sum(before[:2])
assert drawn == len(order)
batches, size, rng = int(sys.argv[2]), 16, np.random.default_rng(1)
for batch in range(batches):
    if batch == batches // 10:
        before, start = memory(), time.perf_counter()
    for i in rng.choice(order, size): store.keypoints(i)
figures['clip_us'] = 1e3 * ms(start) / (batches - batches // 10) / size
figures['batches_mb'] = memory()[0] - before[0]
print(json.dumps(figures))
"""


def make_store(path: str, clips: int) -> int:
    """Write a store of shards whose frames are sparse files. Returns the number of rows."""
    rng, shards = np.random.default_rng(0), []
    os.makedirs(osp.join(path, FOLDER))
    for number, first in enumerate(range(0, clips, PER_SHARD)):
        count = min(PER_SHARD, clips - first)
        numbers = np.zeros((len(NUMBERS) + 1, count), np.int32)
        numbers[:4] = (rng.choice((1, 2), count, p=(.75, .25)), rng.integers(60, 400, count),
                       rng.integers(0, 120, count), rng.integers(1, 107, count))
        numbers[-1] = 1 + (np.arange(count) % 10 == 0)  # nine of ten are in the first split, the others in the second
        rows = int((numbers[0].astype(np.int64) * numbers[1]).sum())
        files = {what: osp.join(path, FOLDER, file_name(number, what, 0)) for what in ('keypoints', 'ids', 'samples')}
        np.save(files['samples'], numbers)
        np.save(files['ids'], np.array([f'S{i // 1000:04d}C001P{i % 106 + 1:03d}R001A{i % 120 + 1:03d}n{i:07d}'.encode()
                                        for i in range(first, first + count)]))
        np.lib.format.open_memmap(files['keypoints'], 'w+', np.float32, (rows, 25, 3))
        shards.append(dict(rows=rows, samples=count, revision=0,
                           files={what: [osp.getsize(file), 'a' * 64] for what, file in files.items()}))
    write_index(path, dict(
        version=SHARDS, layout='ntu25', channels=3, units='m', storage='float32', scores=False, shards=shards,
        splits=['train', 'test'], classes=[str(i) for i in range(120)], provenance=dict(source='synthetic')))
    return sum(shard['rows'] for shard in shards)


def measure(clips: int, runs: int, batches: int) -> dict:
    """Return the medians over processes that open a store, order an epoch and read batches."""
    with tempfile.TemporaryDirectory() as folder:
        rows = make_store(f'{folder}/store', clips)
        made = [json.loads(subprocess.run([sys.executable, '-c', MEASURE, f'{folder}/store', str(batches)], check=True,
                                          capture_output=True, text=True).stdout) for _ in range(runs)]
    return dict(id=str(clips), gigabytes=rows * ROW / 1e9, batches=batches,
                **{key: float(np.median([one[key] for one in made])) for key in made[0]})


def row(result: dict) -> list[str]:
    """Return the cells of a result in the table of docs/performance.md."""
    keys = ('open_ms', 'open_mb', 'order_ms', 'order_mb', 'peak_mb', 'mapped_mb', 'windows_ms', 'windows_peak_mb',
            'clip_us', 'batches_mb')
    return [f'{int(result["id"]):,}', f'{result["gigabytes"]:.3g}', *(f'{result[key]:.2g}' if result[key] < 10 else
                                                                   f'{result[key]:.0f}' for key in keys)]


def draw(results: list[dict], path: str) -> None:
    """One panel for each figure, against the number of clips."""
    figure = Figure(figsize=(12, 6), layout='constrained')
    FigureCanvasAgg(figure)
    for axis, (key, title) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        axis.plot([int(result['id']) for result in results], [result[key] for result in results], marker='o')
        axis.set(xscale='log', xlabel='clips in the store', ylabel=title)
        axis.set_ylim(bottom=min(0, *(result[key] for result in results)))
    figure.savefig(path, dpi=110)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clips', type=int, nargs='+', default=CLIPS)
    parser.add_argument('--runs', type=int, default=3, help='processes for each size')
    parser.add_argument('--batches', type=int, default=10_000)
    parser.add_argument('--out', required=True, help='json file; the plot is written next to it')
    args = parser.parse_args()
    results = []
    for clips in args.clips:
        results.append(measure(clips, args.runs, args.batches))
        print(' | '.join(row(results[-1])), flush=True)
    update(args.out, results, [str(clips) for clips in args.clips], machine=machine())
    draw(results, osp.splitext(args.out)[0] + '.png')


if __name__ == '__main__':
    main()
