"""Data of NTU RGB+D 120's size: opening a store, reading batches, importing, against a pickle in memory.

Examples:
  python benchmarks/large_store.py --out work_dirs/large_store.json
  python benchmarks/large_store.py --samples 5000

The frames are a sparse file, so that 8 GB of them need no disk; opening and reading do not notice. The plain way is
one pickle of arrays, loaded whole, and a read a sample (a tenth of the samples, as many machines could not hold all;
time and memory are multiplied). Each figure is measured in a process of its own.
"""
import argparse
import json
import os.path as osp
import pickle
import subprocess
import sys
import tempfile

import numpy as np

from mmskelssl.datasets.store import write_columns
from mmskelssl.evaluation.results import machine, versions

CLIP = (3, 50, 25, 2)
OPEN = """
import json, resource, sys, time
import numpy as np, mmskelssl.datasets
from mmskelssl.datasets.store import SkeletonStore
def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20
before, start = rss(), time.perf_counter()
store = SkeletonStore(sys.argv[1])
opened = time.perf_counter() - start
split = store.split('xsub_train')
print(json.dumps(dict(ms=1e3 * opened, split_ms=1e3 * (time.perf_counter() - start), mib=rss() - before, n=len(store))))
"""
PICKLE = """
import json, pickle, sys, time
import numpy as np
def rss(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20
before, start = rss(), time.perf_counter()
data = pickle.load(open(sys.argv[1], 'rb'))
split = set(data['split']['xsub_train'])
chosen = [a for a in data['annotations'] if a['frame_dir'] in split]
print(json.dumps(dict(ms=1e3 * (time.perf_counter() - start), mib=rss() - before, n=len(data['annotations']))))
"""
READ = """
import json, sys, time
import numpy as np, torch
clips = np.load(sys.argv[1], mmap_mode='r')
rng = np.random.default_rng(0)
batches = [rng.choice(len(clips), 128, replace=False) for _ in range(8)]
def whole(rows): return torch.from_numpy(clips[rows])
def single(rows): return torch.stack([torch.from_numpy(np.array(clips[i])) for i in rows])
for rows in batches: whole(rows), single(rows)
times = {}
for name, read in 2 * [('whole', whole), ('single', single)]:
    start = time.perf_counter()
    for rows in batches: read(rows)
    times[name] = (time.perf_counter() - start) / len(batches) * 1e3
print(json.dumps(times))
"""


def make_store(folder: str, samples: int, rng: np.random.Generator) -> int:
    """Index of a store as large as asked, over a sparse file of frames; returns the number of rows."""
    lengths, persons = rng.integers(60, 400, samples), rng.choice((1, 2), samples, p=(.75, .25))
    names = [f'S{i // 1000:03d}C001P{i % 106 + 1:03d}R001A{i % 120 + 1:03d}n{i:06d}' for i in range(samples)]
    offsets = np.concatenate([[0], np.cumsum(lengths * persons)])
    index = dict(
        version=2, classes=[str(i) for i in range(120)], layout='ntu25', channels=3, units='m', sha256='',
        provenance=dict(source='synthetic', options={}, skipped=[]),
        splits=dict(xsub_train=names[::2], xsub_test=names[1::2]),
        samples=[dict(id=name, offset=int(offset), persons=int(m), frames=int(t), label=i % 120, subject=i % 106 + 1)
                 for i, (name, offset, m, t) in enumerate(zip(names, offsets, persons, lengths, strict=False))])
    with open(osp.join(folder, 'index.json'), 'w', encoding='utf-8') as file:
        json.dump(index, file)
    np.lib.format.open_memmap(osp.join(folder, 'keypoints.npy'), 'w+', np.float32, (int(offsets[-1]), 25, 3))
    write_columns(folder, index)
    return int(offsets[-1])


def measure(code: str, *arguments: str, runs: int = 5) -> dict:
    """Medians over processes that run ``code``."""
    made = [json.loads(subprocess.run([sys.executable, '-c', code, *arguments], check=True, capture_output=True,
                                      text=True).stdout) for _ in range(runs)]
    return {key: float(np.median([one[key] for one in made])) for key in made[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--samples', type=int, default=113_945)
    parser.add_argument('--out', help='json file for the figures')
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = make_store(folder, args.samples, rng)
        ours = measure(OPEN, folder)
        part = args.samples // 10
        annotations = [dict(frame_dir=f'{i}', label=0, keypoint=np.zeros((1, 90, 25, 3), np.float32))
                       for i in range(part)]
        with open(osp.join(folder, 'p.pkl'), 'wb') as file:
            pickle.dump(dict(split=dict(xsub_train=[f'{i}' for i in range(0, part, 2)]), annotations=annotations), file)
        plain = measure(PICKLE, osp.join(folder, 'p.pkl'), runs=3)
        clips = np.lib.format.open_memmap(osp.join(folder, 'clips.npy'), 'w+', np.float32, (4096, *CLIP))
        clips[:] = rng.normal(size=CLIP)
        clips.flush()
        read = measure(READ, osp.join(folder, 'clips.npy'), runs=3)
    scale = args.samples / part
    figures = dict(samples=args.samples, gigabytes=rows * 300 / 1e9,
                   open_ms=ours['ms'], open_and_split_ms=ours['split_ms'],
                   open_mib=ours['mib'], pickle_ms=plain['ms'] * scale, pickle_mib=plain['mib'] * scale,
                   open_ratio=ours['ms'] / (plain['ms'] * scale), memory_ratio=ours['mib'] / (plain['mib'] * scale),
                   batch_ms=read['whole'], per_sample_batch_ms=read['single'],
                   batch_ratio=read['whole'] / read['single'])
    for key, value in figures.items():
        print(f'{key:20} {value:.4g}')
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            json.dump(dict(figures, machine=machine(), versions=versions(), command=' '.join(sys.argv)), file, indent=1)


if __name__ == '__main__':
    main()
