"""Reading the clips of a large store: preprocessing per batch, and the order of the clips on a cold disk.

The first three rows prepare batches of 128 clips of 8 to 300 frames as the AimCLR lineage does, all in one process, in
turn, in processor time. The other rows read clips from a file that is not in memory, in the order of an epoch: shuffled
over the whole file, and within windows of shards. They state the bytes read from the disk, which do not depend on other
work on the machine, and the wall time, which does.

Examples:
  OMP_NUM_THREADS=1 python benchmarks/reading.py --out results/performance/reading.json
  OMP_NUM_THREADS=1 python benchmarks/reading.py --gb 0.1 --clips 256
"""
import argparse
import os
import os.path as osp
import statistics
import sys
import tempfile
import time
from types import SimpleNamespace

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

import numpy as np
import torch

from benchmarks import results_file
from benchmarks.cases.preprocess import sequences
from benchmarks.measure import machine, seconds
from mmskelssl.datasets import SkeletonDataset, StoreWriter
from mmskelssl.datasets.preprocessing import build_transform, preprocess_sample
from mmskelssl.datasets.shard_sampler import ShardSampler
from mmskelssl.errors import one_line_errors
from mmskelssl.layouts import get_layout

BATCH = 128
PIPELINE = [dict(type='SelectPersons', max_persons=2), dict(type='Center'), dict(type='ResizeFrames', frames=50),
            dict(type='AlignShoulders'), dict(type='PackSkeleton')]
CLIP = (3, 50, 25, 2)  # of the file on a cold disk
SHARDS, WINDOW = 32, 4  # of the file; a part of two windows is read


def preparing(count: int, rounds: int) -> list[dict]:
    """Milliseconds of a batch from the cache, preprocessed as a batch, and preprocessed clip by clip."""
    with tempfile.TemporaryDirectory() as folder:
        with StoreWriter(f'{folder}/store', 'ntu25') as writer:
            for i, clip in enumerate(sequences(count)):
                writer.add(str(i), clip, 0)
        cached, batched = (SkeletonDataset(f'{folder}/store', 'all', PIPELINE, preprocess=how)
                           for how in ('cache', 'batch'))
        transform = build_transform(PIPELINE)

        def single(rows: list[int]) -> dict:
            return dict(inputs=torch.from_numpy(np.stack(
                [preprocess_sample(cached.store, row, transform)['inputs'] for row in rows])))

        arms = {'cached, in memory': cached.__getitems__, 'preprocessed per batch': batched.__getitems__,
                'preprocessed clip by clip': single}
        order = np.random.default_rng(0).permutation(count)
        batches = [order[i:i + BATCH].tolist() for i in range(0, count - BATCH + 1, BATCH)] or [order.tolist()]
        made = [arm(batches[0])['inputs'] for arm in arms.values()]
        difference = max(float((one - made[0]).abs().max()) for one in made[1:])
        spent: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(rounds):
            for name in [*arms][::1 if number % 2 else -1]:
                spent[name].append(seconds(lambda read=arms[name]: [read(rows) for rows in batches]) / len(batches))
    return [dict(id=name, processor_ms=1e3 * statistics.median(times), rounds=rounds, difference=difference)
            for name, times in spent.items()]


def ordering(gb: float, rounds: int, folder: str) -> list[dict]:
    """Bytes and seconds to read a part of an epoch from a file of ``gb`` GB that is not in memory."""
    clip = 4 * int(np.prod(CLIP))
    count = int(gb * 1e9 / clip)
    frames = np.full(count, CLIP[1])
    store = SimpleNamespace(persons=np.full(count, CLIP[3]), frames=frames, layout=get_layout('ntu25'), channels=3)
    data = SimpleNamespace(store=store, positions=np.arange(count))
    sampler = ShardSampler(data, WINDOW, count * clip / SHARDS / 1e6, seed=0)
    part = 2 * WINDOW * count // SHARDS // BATCH * BATCH
    orders = {'cold disk, shuffled': np.random.default_rng(0).permutation(count)[:part],
              f'cold disk, windows of {WINDOW} of {SHARDS} shards': np.array([*sampler][:part])}
    read: dict[str, list] = {name: [] for name in orders}
    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = osp.join(made, 'clips.npy')
        write(path, count)
        for _ in range(rounds):
            for name, order in orders.items():
                read[name].append(cold(path, order))
    return [dict(id=name, gb=gb, clips_mb=part * clip / 1e6, rounds=rounds,
                 disk_mb=statistics.median(mb for mb, _ in figures),
                 wall_ms=1e3 * statistics.median(wall for _, wall in figures) / (part / BATCH))
            for name, figures in read.items()]


def write(path: str, count: int) -> None:
    """Write an array of random clips."""
    array = np.lib.format.open_memmap(path, 'w+', np.float32, (count, *CLIP))
    block = np.random.default_rng(0).random((1000, *CLIP), np.float32)
    for start in range(0, count, 1000):
        array[start:start + 1000] = block[:count - start]
    array.flush()


def cold(path: str, order: np.ndarray) -> tuple[float, float]:
    """Read clips from a file that is not in memory; return the MB read from the disk, and the seconds."""
    with open(path, 'rb') as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    clips, before, start = np.load(path, mmap_mode='r'), disk_bytes(), time.perf_counter()
    for i in range(0, len(order), BATCH):
        torch.from_numpy(clips[order[i:i + BATCH]])
    return (disk_bytes() - before) / 1e6, time.perf_counter() - start


def disk_bytes() -> int:
    """Return how many bytes this process has read from disks so far."""
    with open('/proc/self/io', encoding='ascii') as file:
        return int(dict(line.split(': ') for line in file.read().splitlines())['read_bytes'])


COLUMNS = ('128 clips', 'processor, ms', 'wall, ms', 'read from the disk, MB per MB of clips')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    if 'disk_mb' in result:
        return [result['id'], '', f'{result["wall_ms"]:.0f}', f'{result["disk_mb"] / result["clips_mb"]:.1f}']
    return [result['id'], f'{result["processor_ms"]:.1f}', '', '']


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clips', type=int, default=1024, help='clips that are preprocessed (default 1024)')
    parser.add_argument('--gb', type=float, default=4., help='size of the temporary file (default 4)')
    parser.add_argument('--folder', default='.', help='where the temporary file is written (default: here)')
    parser.add_argument('--rounds', type=int, default=7, help='of each figure (default 7; 3 on the disk)')
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    args = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    results = preparing(args.clips, args.rounds) + ordering(args.gb, min(3, args.rounds), args.folder)
    print(results_file.markdown(COLUMNS, map(row, results)), end='')
    if args.out:
        results_file.write(args.out, results, load_at_start=load, machine=machine(), date=time.strftime('%Y-%m-%d'))


if __name__ == '__main__':
    main()
