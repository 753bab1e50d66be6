"""Data of NTU RGB+D 120's size: opening, reading batches, importing and preprocessing, compared with the plain way.

Examples:
  python benchmarks/large_store.py --out work_dirs/large_store.json
  python benchmarks/large_store.py --samples 5000

The frames are a sparse file, so 8 GB of them need no disk space; opening and reading are not affected. The plain way is
one pickle of arrays, loaded as a whole, and one read per sample. It has a tenth of the samples, because many machines
could not hold all of them; time and memory are multiplied by ten. An import is measured at two sizes, whose peaks
should be similar, and preprocessing with one process and with two. Each figure is measured in a separate process.
"""
import argparse
import json
import os
import os.path as osp
import pickle
import subprocess
import sys
import tempfile

import numpy as np

from mmskelssl.datasets.store.columns import write_columns
from mmskelssl.provenance import machine, versions

CLIP = (3, 50, 25, 2)
OPEN = """
import json, resource, sys, time
import numpy as np, mmskelssl.datasets
from mmskelssl.datasets.store.reader import SkeletonStore
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
IMPORT = """
import json, resource, subprocess, sys
subprocess.run([sys.executable, 'tools/prepare_data.py', 'arrays', sys.argv[1], '--layout', 'ntu25', '--labels', 'none',
                '--jobs', '1', '--out', sys.argv[1] + '.store'], check=True, capture_output=True)
print(json.dumps(dict(mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)))
"""
PREPROCESS = """
import json, sys, time
from mmskelssl.datasets import SkeletonStore
from mmskelssl.datasets.preprocessing import preprocess
from mmskelssl.folders import OwnFolder
pipeline = [dict(type='SelectPersons', max_persons=2), dict(type='Center'), dict(type='ResizeFrames', frames=50),
            dict(type='AlignShoulders'), dict(type='PackSkeleton')]
if __name__ == '__main__':
    store, folder, times = SkeletonStore(sys.argv[1]), OwnFolder(sys.argv[1] + '.cache'), {}
    for jobs in (1, 2, 1, 2):
        start = time.perf_counter()
        folder.remove('c.npy.partial')
        preprocess(store, pipeline, folder, 'c', jobs)
        times[str(jobs)] = time.perf_counter() - start
    print(json.dumps(times))
"""


def make_clips(folder: str, samples: int, rng: np.random.Generator) -> str:
    """Folder of npy files, one clip each."""
    os.makedirs(folder)
    for i in range(samples):
        np.save(osp.join(folder, f'{i:05d}.npy'), rng.normal(size=(90, 25, 3)).astype(np.float32))
    return folder


def make_store(folder: str, samples: int, rng: np.random.Generator) -> int:
    """Write the index of a store of the given size, over a sparse file of frames; return the number of rows."""
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
        imports = {n: measure(IMPORT, make_clips(osp.join(folder, str(n)), n, rng), runs=1) for n in (1000, 5000)}
        script = osp.join(folder, 'preprocess.py')  # a file: other processes import it
        with open(script, 'w', encoding='utf-8') as file:
            file.write(PREPROCESS)
        prepared = json.loads(subprocess.run([sys.executable, script, osp.join(folder, '5000.store')], check=True,
                                             capture_output=True, text=True).stdout.splitlines()[-1])
    scale = args.samples / part
    figures = dict(samples=args.samples, gigabytes=rows * 300 / 1e9,
                   open_ms=ours['ms'], open_and_split_ms=ours['split_ms'],
                   open_mib=ours['mib'], pickle_ms=plain['ms'] * scale, pickle_mib=plain['mib'] * scale,
                   open_ratio=ours['ms'] / (plain['ms'] * scale), memory_ratio=ours['mib'] / (plain['mib'] * scale),
                   batch_ms=read['whole'], per_sample_batch_ms=read['single'],
                   batch_ratio=read['whole'] / read['single'],
                   import_1000_mib=imports[1000]['mib'], import_5000_mib=imports[5000]['mib'],
                   preprocess_5000_s=prepared['1'], preprocess_two_ratio=prepared['2'] / prepared['1'])
    for key, value in figures.items():
        print(f'{key:20} {value:.4g}')
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            json.dump(dict(figures, machine=machine(), versions=versions(), command=' '.join(sys.argv)), file, indent=1)


if __name__ == '__main__':
    main()
