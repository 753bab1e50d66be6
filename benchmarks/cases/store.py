"""B8: opening data of NTU60's size. Only the description is read; the plain arm loads a pickle of the frames."""
import os
import pickle
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.measure import Benchmark, Case
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter

SAMPLES, FRAMES = 56_880, 83


def write(folder: str, samples: int, frames: int) -> None:
    """Write a store with this number of clips, and a tenth of them as a pickle. All of them would be 1.6 GB."""
    rng = np.random.default_rng(0)
    clip = rng.normal(0, 1, (1, frames, 25, 3)).astype(np.float32)
    with StoreWriter(f'{folder}/store', 'ntu25', classes=[str(i) for i in range(60)]) as writer:
        for i in range(samples):
            writer.add(f'S001C001P001R001A{i:06d}', clip, i % 60)
        writer.set_split('train', [sample['id'] for sample in writer.samples[:samples // 2]])
    annotations = [dict(frame_dir=str(i), keypoint=clip + 0, label=i % 60) for i in range(samples // 10)]
    with open(f'{folder}/annotations.pkl', 'wb') as file:
        pickle.dump(annotations, file, protocol=4)


def make(quick: bool = False) -> Case:
    folder = tempfile.TemporaryDirectory()
    write(folder.name, SAMPLES // (10 if quick else 1), FRAMES)

    def ours(folder=folder):  # kept as long as the case
        return SkeletonStore(f'{folder.name}/store')

    def reference():
        with open(f'{folder.name}/annotations.pkl', 'rb') as file:
            return pickle.load(file)  # our own file, written above

    return Case(ours, reference, reference_weight=10.,
                extra={**fresh(f'{folder.name}/store', 'store'),
                       **fresh(f'{folder.name}/annotations.pkl', 'tenth_of_pickle')})


# In a process that has opened another store before, so that imports do not count.
FRESH = """
import pickle, sys, tempfile, time
from benchmarks.cases.store import write
from benchmarks.measure import peak_memory
from mmskelssl.datasets.store.reader import SkeletonStore
path, taken = sys.argv[1], []
with tempfile.TemporaryDirectory() as small:
    write(small, 20, 5)
    SkeletonStore(small + '/store')
def load():
    start = time.perf_counter()
    made = pickle.load(open(path, 'rb')) if path.endswith('.pkl') else SkeletonStore(path)
    taken.append(1000 * (time.perf_counter() - start))
    return made
print(peak_memory(load), taken[0])
"""


def fresh(path: str, name: str) -> dict:
    """Milliseconds and MB that a new process needs to open it."""
    made = subprocess.run([sys.executable, '-c', FRESH, path], check=True, capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))})
    memory, taken = made.stdout.split()[-2:]
    return {f'{name}_peak_mb': float(memory), f'{name}_ms': float(taken)}


def check(samples: int = 20, frames: int = 7) -> float:
    """Largest difference between the frames of both."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder, samples, frames)
        store = SkeletonStore(f'{folder}/store')
        with open(f'{folder}/annotations.pkl', 'rb') as file:
            annotations = pickle.load(file)
        return max(float(np.abs(store.keypoints(i) - a['keypoint']).max()) for i, a in enumerate(annotations))


BENCHMARKS = {'B8': Benchmark('opening data of NTU60\'s size', make, check, None, 0.)}
