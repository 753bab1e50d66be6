"""B7: the published preprocessing of sequences of different lengths."""
import numpy as np
import torch

from benchmarks.cases.clips import NTU, clips
from benchmarks.cases.crrl import lengths_like_ntu
from benchmarks.measure import Benchmark, Case, difference
from benchmarks.reference.preprocess import preprocess
from mmskelssl.datasets.transforms import AlignShoulders, Center, ResizeFrames, SelectPersons


def sequences(count: int, longest: int = 300, seed: int = 0) -> list[np.ndarray]:
    """(M, T, V, 3) float64, every fifth with two persons, as in NTU60."""
    lengths = lengths_like_ntu(count, longest, seed).tolist()
    return [clips(1, length, 1 + (i % 5 == 0), seed=seed + i)[0].permute(3, 1, 2, 0).double().numpy().copy() + 1.
            for i, length in enumerate(lengths)]


def arms(samples: list[np.ndarray], frames: int):
    """Both arms on all samples."""
    steps = (SelectPersons(2), Center(), ResizeFrames(frames), AlignShoulders())

    def one(sample: np.ndarray) -> np.ndarray:
        results = dict(keypoint=sample, layout=NTU)
        for transform in steps:
            results = transform(results)
        return results['keypoint']

    def ours():
        return np.stack([one(sample) for sample in samples])

    def reference():
        out = np.zeros((len(samples), 2, frames, 25, 3))
        for row, sample in zip(out, samples, strict=True):
            row[:len(sample)] = preprocess(sample, frames, NTU.centre, *NTU.shoulders)
        return out

    return ours, reference


def make(quick: bool = False, count: int = 200, frames: int = 50) -> Case:
    samples = sequences(count)
    ours, reference = arms(samples, frames)
    moved = sum(sample.nbytes for sample in samples) + 8 * count * 2 * frames * 75
    return Case(ours, reference, count, traffic=float(moved),
                extra=dict(difference=difference(*map(torch.from_numpy, (ours(), reference())))))


def check(count: int = 11, longest: int = 60, frames: int = 13) -> float:
    """All samples, one and two persons, shorter and longer than the target."""
    return difference(*(torch.from_numpy(arm()) for arm in arms(sequences(count, longest), frames)))


BENCHMARKS = {'B7': Benchmark('preprocessing, 200 sequences', make, check, .10, 1e-12, 9)}
