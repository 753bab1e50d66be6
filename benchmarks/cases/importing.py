"""B11, B12: importing text files. The plain arm only turns every word of the same files into a number."""
import contextlib
import glob
import io
import itertools
import tempfile

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.measure import Benchmark, Case
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.datasets.importers.bandai import JOINTS, read_motion
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.datasets.toy.raw import write_raw

# Parents of the joints of bandai21, by number.
PARENTS = [0, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
CHANNELS = 'Xposition Yposition Zposition Zrotation Yrotation Xrotation'


def words_as_numbers(texts: list[str]) -> None:
    for text in texts:
        _ = [float(word) for word in text.split()]


def read_texts(folder: str) -> list[str]:
    texts = []
    for path in sorted(glob.glob(f'{folder}/*')):
        with open(path, encoding='ascii') as file:
            texts.append(file.read())
    return texts


def import_ntu(folder: str, out: str) -> SkeletonStore:
    """Import raw files in this process."""
    with contextlib.redirect_stdout(io.StringIO()), StoreWriter(out, overwrite=True) as writer:
        IMPORTERS['ntu60'](folder, writer, jobs=1)
    return SkeletonStore(out)


def make_ntu(quick: bool = False, count: int = 96) -> Case:
    folder = tempfile.TemporaryDirectory()
    raw, out = f'{folder.name}/raw', f'{folder.name}/store'
    write_raw('ntu', raw, 8 if quick else count)
    store = import_ntu(raw, out)
    frames = sum(store.keypoints(i).shape[1] for i in range(len(store)))

    def ours(folder=folder):  # kept as long as the case
        return import_ntu(raw, out)

    return Case(ours, lambda: words_as_numbers(read_texts(raw)), frames)


def first_bodies(text: str) -> np.ndarray:
    """(T, 25, 3): the first body of each frame of a raw file, from nothing but its numbers."""
    numbers = (float(word) for word in text.split())
    frames = []
    for _ in range(int(next(numbers))):
        bodies = [[*itertools.islice(numbers, 11 + 300)][11:] for _ in range(int(next(numbers)))]
        frames.append(np.reshape(bodies[0], (25, 12))[:, :3])
    return np.stack(frames)


def check_ntu(count: int = 3) -> float:
    """Largest difference to the numbers in the files."""
    with tempfile.TemporaryDirectory() as folder:
        write_raw('ntu', f'{folder}/raw', count)
        store = import_ntu(f'{folder}/raw', f'{folder}/store')
        return max(float(np.abs(store.keypoints(i)[0] - first_bodies(text).astype(np.float32)).max())
                   for i, text in enumerate(read_texts(f'{folder}/raw')))


def bvh(frames: int, seed: int = 0) -> tuple[str, np.ndarray, np.ndarray]:
    """A motion file as of bandai's data set, with its offsets (21, 3) and channels (T, 21, 6)."""
    rng = np.random.default_rng(seed)
    offsets, table = rng.normal(0, 10, (21, 3)).round(6), rng.normal(0, 50, (frames, 21, 6)).round(6)

    def block(joint: int) -> list[str]:
        children = [child for child in range(1, 21) if PARENTS[child] == joint]
        inside = [line for child in children for line in block(child)] or ['End Site', '{', 'OFFSET 0 0 1', '}']
        return [f'{"JOINT" if joint else "ROOT"} {JOINTS[joint]}', '{', f'OFFSET {" ".join(map(str, offsets[joint]))}',
                f'CHANNELS 6 {CHANNELS}', *inside, '}']

    rows = [' '.join(f'{value:.6f}' for value in row.ravel()) for row in table]
    return '\n'.join(['HIERARCHY', *block(0), 'MOTION', f'Frames: {frames}', 'Frame Time: 0.0333333', *rows, '']), \
        offsets, table


def make_bvh(quick: bool = False, count: int = 16) -> Case:
    texts = [bvh(120 + i, i)[0] for i in range(2 if quick else count)]
    tables = [text.partition('0.0333333\n')[2] for text in texts]
    data = [text.encode() for text in texts]

    def ours():
        return [read_motion('action', 'walk_normal_001.bvh', one) for one in data]

    return Case(ours, lambda: words_as_numbers(tables), len(texts))


def check_bvh(frames: int = 5) -> float:
    """Largest difference to positions, in metres, from scipy's rotations."""
    text, _, table = bvh(frames)
    turns, places = [], []
    for joint, parent in enumerate(PARENTS):
        turn, place = Rotation.from_euler('ZYX', table[:, joint, 3:], degrees=True), table[:, joint, :3]
        turns.append(turns[parent] * turn if joint else turn)
        places.append(places[parent] + turns[parent].apply(place) if joint else place)
    keypoints = read_motion('action', 'walk_normal_001.bvh', text.encode())[0]['keypoints'][0]
    return float(np.abs(keypoints - np.stack(places, 1)[::2] / 100).max())


BENCHMARKS = {
    'B11': Benchmark("importing NTU's raw files / their words as numbers", make_ntu, check_ntu, 1.25, 0., 9),
    'B12': Benchmark("reading .bvh files / their motion's words as numbers", make_bvh, check_bvh, None, 1e-12, 9),
}
