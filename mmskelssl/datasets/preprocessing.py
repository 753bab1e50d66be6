"""The deterministic pipeline over a whole store: in parts, on all cores, resumable."""
from functools import lru_cache, partial

import numpy as np
from mmcv.transforms import Compose
from rich.progress import track

from mmskelssl.datasets.cache import DTYPES, FILES, map_array, new_array
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.parallel import FEW, WorkerDied, run_parallel
from mmskelssl.registry import TRANSFORMS

# Samples of a part: what a killed run loses at most, and what travels between processes at once.
PART = 256


def preprocess(store: SkeletonStore, pipeline: list[dict], folder: OwnFolder, key: str,
               jobs: int | None = None) -> None:
    """Run a pipeline over every sample and write two arrays, ``KEY.npy.partial`` and ``KEY.frames.npy.partial``.

    What an earlier call had finished when its process was killed is not done again.

    Args:
        store: Where the samples are.
        pipeline: Configs of transforms.
        folder: Where to write (N, C, T, V, M) float32 and the true lengths, (N,) int64.
        key: What the names of the files begin with.
        jobs: Processes; default one a core for a large store.
    """
    names = [f'{key}{ending}.partial' for ending in FILES]
    arrays = _resume(folder, names, len(store))
    todo = [range(i, min(i + PART, len(store))) for i in range(0, len(store), PART)]
    if arrays:
        todo = [part for part in todo if (arrays[1][part.start:part.stop] < 0).any()]
    # Transforms from outside this package are registered in this process only.
    ours = all(getattr(TRANSFORMS.get(step['type']), '__module__', '').startswith('mmskelssl.') for step in pipeline)
    jobs = jobs if jobs and ours else None if ours and len(store) >= 40 * FEW else 1
    done = run_parallel(partial(_part, store.path, store.data_hash, pipeline), todo, jobs, chunk=1,
                        what='preprocessing')
    try:
        for part, (made, true) in zip(todo, track(done, f'preprocessing {store.path}', total=len(todo),
                                                  disable=len(store) < 5000), strict=True):
            arrays = arrays or _create(folder, names, (len(store), *made.shape[1:]))
            check_shape(_name(store, part.start), made.shape[1:], arrays[0].shape[1:])
            arrays[0][part.start:part.stop] = made
            arrays[1][part.start:part.stop] = true  # after the clips: it says that they are there
    except WorkerDied:  # what is finished stays for the next try
        raise
    except UserError:
        for name in names:
            folder.remove(name)
        raise
    finally:
        done.close()
    for array in arrays:
        array.flush()


def _resume(folder: OwnFolder, names: list[str], samples: int):
    """The arrays of a run that was killed, writable; None where there are none, or they are cut off."""
    try:
        arrays = []
        for name, dtype in zip(names, DTYPES, strict=True):
            with folder.open(name, 'r+b') as file:
                arrays.append(map_array(file, dtype, 'r+'))
        return arrays if all(len(array) == samples for array in arrays) else None
    except (KeyError, OSError, ValueError):
        return None


def _create(folder: OwnFolder, names: list[str], shape: tuple) -> list[np.memmap]:
    clips, lengths = (new_array(folder, name, dtype, size) for name, dtype, size
                      in zip(names, DTYPES, (shape, shape[:1]), strict=True))
    lengths[:] = -1  # still to be done
    return [clips, lengths]


@lru_cache(maxsize=1)
def _opened(path: str, data_hash: str) -> SkeletonStore:
    """Each process opens a store once; one of another hash anew."""
    return SkeletonStore(path)


def _part(path: str, data_hash: str, pipeline: list[dict], part: range) -> tuple[np.ndarray, np.ndarray]:
    store, transform = _opened(path, data_hash), build_transform(pipeline)
    samples = []
    for i in part:
        samples.append(_run(store, i, transform))
        check_shape(_name(store, i), samples[-1]['inputs'].shape, samples[0]['inputs'].shape)
    return np.stack([s['inputs'] for s in samples]), np.array([s['num_frames'] for s in samples], np.int64)


def _name(store: SkeletonStore, i: int) -> str:
    return f'{store.path}: sample {store.ids[i]}'


def check_shape(what: str, shape: tuple, first: tuple) -> None:
    """Refuse preprocessed clips of different shapes: there are no batches of them."""
    if shape != first:
        raise UserError(f'{what} has shape {shape} after preprocessing, the first one {first}: put SelectPersons, and '
                        'ResizeFrames or PadFrames, into data.pipeline')


def build_transform(pipeline: list[dict]) -> Compose:
    """The transforms of a pipeline, one after another, for :func:`run_transform`."""
    # Built here: mmcv's Compose looks in the root registry, which does not know our transforms.
    return Compose([TRANSFORMS.build(step) for step in pipeline])


def _run(store: SkeletonStore, i: int, transform: Compose) -> dict:
    return run_transform(transform, store.keypoints(i), store.layout, store.ids[i], _name(store, i),
                         store.scores(i))


def run_transform(transform: Compose, keypoint: np.ndarray, layout: SkeletonLayout, name: str, what: str,
                  scores: np.ndarray | None = None) -> dict:
    """Preprocess one clip.

    Args:
        keypoint: (M, T, V, C) float32, left as it is.
        layout: Of its joints.
        name: Its id, for transforms.
        what: What messages call it.
        scores: (M, T, V) of its joints, where they are known.

    Returns:
        ``inputs`` (C, T, V, M) float32 and ``num_frames``.
    """
    keypoint = np.array(keypoint)
    if not np.isfinite(keypoint).all():
        raise UserError(f'{what} holds NaN or Inf')
    given = dict(keypoint=keypoint, total_frames=keypoint.shape[1], frame_dir=name, layout=layout)
    try:
        sample = transform(given if scores is None else given | dict(scores=np.array(scores)))
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise UserError(f'{what}: data.pipeline fails on it: {type(error).__name__}: '
                        f'{" ".join(str(error).split())[:200]}') from error
    if not isinstance(sample, dict) or 'inputs' not in sample:
        raise UserError('data.pipeline must end with dict(type="PackSkeleton")')
    if not np.isfinite(sample['inputs']).all():
        raise UserError(f'{what} is not finite after preprocessing')
    return sample
