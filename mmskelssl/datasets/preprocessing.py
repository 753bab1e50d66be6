"""Runs the deterministic pipeline over a whole store: in parts, on all cores, resumable."""
from functools import lru_cache, partial

import numpy as np
from mmcv.transforms import Compose
from rich.progress import track

from mmskelssl.datasets.cache import DTYPES, FILES, new_array
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.npz import map_array
from mmskelssl.parallel import FEW, WorkerDied, run_parallel
from mmskelssl.registry import TRANSFORMS

# Samples per part: the most that a killed run loses, and the unit of transfer between processes.
PART = 256
SAME_SHAPE = 'add SelectPersons, and ResizeFrames or PadFrames, to data.pipeline'


def preprocess(store: SkeletonStore, pipeline: list[dict], folder: OwnFolder, key: str,
               jobs: int | None = None) -> None:
    """Run a pipeline over every sample and write two arrays, ``KEY.npy.partial`` and ``KEY.frames.npy.partial``.

    Parts finished by an earlier call whose process was killed are not computed again.

    Args:
        store: Store with the samples.
        pipeline: Configs of transforms.
        folder: Output folder for the clips (N, C, T, V, M) float32 and the true lengths (N,) int64.
        key: Prefix of the file names.
        jobs: Number of processes. Default: one per core for a large store, otherwise one.

    Raises:
        UserError: The pipeline fails on a sample.
    """
    names = [f'{key}{ending}.partial' for ending in FILES]
    arrays = _resume(folder, names, len(store))
    todo = [range(i, min(i + PART, len(store))) for i in range(0, len(store), PART)]
    if arrays:
        todo = [part for part in todo if (arrays[1][part.start:part.stop] < 0).any()]
    # Transforms defined outside this package are registered only in this process.
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
            arrays[1][part.start:part.stop] = true  # written after the clips, because it marks them as done
    except WorkerDied:  # keep finished parts for the next attempt
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
    """Return the writable arrays of a killed run, or None if there are none or they are truncated."""
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
    lengths[:] = -1  # marks unfinished samples
    return [clips, lengths]


@lru_cache(maxsize=1)
def _opened(path: str, data_hash: str) -> SkeletonStore:
    """Open a store once per process, and again if its hash changes."""
    return SkeletonStore(path)


def _part(path: str, data_hash: str, pipeline: list[dict], part: range) -> tuple[np.ndarray, np.ndarray]:
    store, transform = _opened(path, data_hash), build_transform(pipeline)
    samples = []
    for i in part:
        samples.append(preprocess_sample(store, i, transform))
        check_shape(_name(store, i), samples[-1]['inputs'].shape, samples[0]['inputs'].shape)
    return np.stack([s['inputs'] for s in samples]), np.array([s['num_frames'] for s in samples], np.int64)


def _name(store: SkeletonStore, i: int) -> str:
    return f'{store.path}: sample {store.name(i)}'


def check_shape(what: str, shape: tuple, first: tuple) -> None:
    """Raise a UserError for clips of different shapes, which cannot form a batch."""
    if shape != first:
        raise UserError(f'{what} has shape {shape} after preprocessing, but the first one has {first}: {SAME_SHAPE}')


def build_transform(pipeline: list[dict]) -> Compose:
    """Build the transforms of a pipeline for :func:`run_transform`."""
    # Build them here: mmcv's Compose uses the root registry, which does not know our transforms.
    return Compose([TRANSFORMS.build(step) for step in pipeline])


def preprocess_sample(store: SkeletonStore, i: int, transform: Compose) -> dict:
    """Preprocess one clip of a store, see :func:`run_transform`."""
    return run_transform(transform, store.keypoints(i), store.layout, store.name(i), _name(store, i),
                         store.scores(i))


def run_transform(transform: Compose, keypoint: np.ndarray, layout: SkeletonLayout, name: str, what: str,
                  scores: np.ndarray | None = None) -> dict:
    """Preprocess one clip.

    Args:
        transform: Result of :func:`build_transform`.
        keypoint: (M, T, V, C) float32; not modified.
        layout: Layout of its joints.
        name: Sample id passed to the transforms.
        what: Name of the clip in error messages.
        scores: (M, T, V) scores of its joints, if known.

    Returns:
        ``inputs`` (C, T, V, M) float32 and ``num_frames``.

    Raises:
        UserError: The clip is not finite, or the pipeline fails on it.
    """
    keypoint = np.array(keypoint)
    if not np.isfinite(keypoint).all():
        raise UserError(f'{what} contains NaN or Inf')
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
