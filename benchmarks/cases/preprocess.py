"""B7, B7b: sequences of different lengths, normalised as in pyskl, and preprocessed as in AimCLR."""
import numpy as np
import torch

from benchmarks.cases.clips import NTU, clips
from benchmarks.cases.crrl import lengths_like_ntu
from benchmarks.measure import Benchmark, Case, difference
from benchmarks.reference.preprocess import pre_normalize, preprocess
from mmskelssl.datasets.transforms import AlignShoulders, Center, PreNormalize3D, ResizeFrames, SelectPersons


def sequences(count: int, longest: int = 300, seed: int = 0) -> list[np.ndarray]:
    """(M, T, V, 3) float64, every fifth with two persons, as in NTU60."""
    lengths = lengths_like_ntu(count, longest, seed).tolist()
    return [clips(1, length, 1 + (i % 5 == 0), seed=seed + i)[0].permute(3, 1, 2, 0).double().numpy().copy() + 1.
            for i, length in enumerate(lengths)]


def published(samples: list[np.ndarray], frames: int):
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


def normalising(samples: list[np.ndarray]):
    """Both arms of B7; the results differ in length."""
    step, up = PreNormalize3D(up='z'), np.array([0., 0., 1.])

    def ours():
        return [step(dict(keypoint=sample, layout=NTU))['keypoint'] for sample in samples]

    def reference():
        return [pre_normalize(sample, step.centre, step.spine, NTU.shoulders[::-1], up) for sample in samples]

    return ours, reference


def with_gaps(samples: list[np.ndarray]) -> list[np.ndarray]:
    """Frames without a body, frames of one person only, and a person who leaves."""
    for i, sample in enumerate(samples):
        sample[:, i % 7:i % 7 + i % 3] = 0
        sample[-1, 2 + i % 5:6 + i % 5] = 0
        sample[0, -(i % 4 + 1):, 7] = 0  # an undetected joint
    for sample in samples[::10]:
        sample[0, len(sample[0]) // 2:] = 0
    return samples


def largest(ours: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """Largest difference over sequences of different lengths, which must be the same in both."""
    if [a.shape for a in ours] != [b.shape for b in reference]:
        return float('inf')
    return max(difference(torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(ours, reference, strict=True))


def make_normalising(quick: bool = False, count: int = 200) -> Case:
    samples = sequences(count)
    ours, reference = normalising(samples)
    return Case(ours, reference, count, traffic=2. * sum(sample.nbytes for sample in samples),
                extra=dict(difference=largest(ours(), reference())))


def check_normalising(count: int = 31, longest: int = 60) -> float:
    """One and two persons, with gaps."""
    return largest(*(arm() for arm in normalising(with_gaps(sequences(count, longest)))))


def make_published(quick: bool = False, count: int = 200, frames: int = 50) -> Case:
    samples = sequences(count)
    ours, reference = published(samples, frames)
    moved = sum(sample.nbytes for sample in samples) + 8 * count * 2 * frames * 75
    return Case(ours, reference, count, traffic=float(moved),
                extra=dict(difference=difference(*map(torch.from_numpy, (ours(), reference())))))


def check_published(count: int = 11, longest: int = 60, frames: int = 13) -> float:
    """All samples, one and two persons, shorter and longer than the target."""
    return difference(*(torch.from_numpy(arm()) for arm in published(sequences(count, longest), frames)))


BENCHMARKS = {
    'B7': Benchmark('PreNormalize3D, 200 sequences', make_normalising, check_normalising, .10, 1e-12, 9),
    'B7b': Benchmark('published preprocessing, 200 sequences', make_published, check_published, None, 1e-12, 9),
}
