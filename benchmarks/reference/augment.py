"""The augmentations of docs/methods.md 0.5, one sample at a time in float64 NumPy. Clips are (C, T, V, M).

Each operator takes its draws as arguments, so that a check can pass the same ones to both arms. ``Views`` draws as the
methods do.
"""
import numpy as np


def temporal_crop(x: np.ndarray, start: int, pad_ratio: int = 6) -> np.ndarray:
    """T // 6 reflected frames on each side, then a window of T (0.5)."""
    pad = x.shape[1] // pad_ratio
    padded = np.concatenate([x[:, :pad][:, ::-1], x, x[:, len(x[0]) - pad:][:, ::-1]], 1)
    return padded[:, start:start + x.shape[1]]


def linear(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Every point by a 3x3 matrix: shear, rotation (0.5)."""
    return np.dot(x.transpose(1, 2, 3, 0), matrix.T).transpose(3, 0, 1, 2)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Right-handed about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    return (np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
            @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]))


def flip(x: np.ndarray, mirror: list[int]) -> np.ndarray:
    """Left and right joints are swapped; x stays (0.5)."""
    return x[:, :, mirror]


def blur(x: np.ndarray, sigma: float, taps: int = 15) -> np.ndarray:
    """Along time, zeros outside, the kernel not normalised (0.5)."""
    lag = np.arange(taps) - taps // 2
    weight = np.exp(-lag ** 2 / (2 * sigma ** 2))
    padded = np.pad(x, ((0, 0), (taps // 2, taps // 2), (0, 0), (0, 0)))
    return sum(w * padded[:, i:i + x.shape[1]] for i, w in enumerate(weight))


def axis_mask(x: np.ndarray, axis: int) -> np.ndarray:
    """One of x, y, z set to zero (0.5)."""
    x = x.copy()
    x[axis] = 0
    return x


def interpolate(x: np.ndarray, length: int) -> np.ndarray:
    """Resize time at half-pixel centres, then cut or zero-pad the end (0.5)."""
    frames = x.shape[1]
    position = np.clip((np.arange(min(length, frames)) + .5) * frames / length - .5, 0, frames - 1)
    low = position.astype(int)
    weight = (position - low)[:, None, None]
    resized = x[:, low] * (1 - weight) + x[:, np.minimum(low + 1, frames - 1)] * weight
    return np.pad(resized, ((0, 0), (0, frames - len(position)), (0, 0), (0, 0)))


def rescale(x: np.ndarray, factors: np.ndarray, parents: list[int], order: list[int]) -> np.ndarray:
    """Rebuilt from the root, each bone times its factor, joint by joint (0.5)."""
    out = x.copy()
    for joint in order[1:]:
        parent = parents[joint]
        out[:, :, joint] = out[:, :, parent] + factors[joint] * (x[:, :, joint] - x[:, :, parent])
    return out


class Views:
    """The four views of one sample (docs/methods.md 1.1), with independent draws.

    Args:
        layout: Layout of the skeleton.
        rng: Source of the draws.
    """

    def __init__(self, layout, rng: np.random.Generator):
        self.mirror, self.parents, self.order, self.rng = layout.mirror, layout.parents, layout.order, rng

    def weak(self, x: np.ndarray) -> np.ndarray:
        x = temporal_crop(x, self.rng.integers(2 * (x.shape[1] // 6) + 1))
        off = self.rng.uniform(-.5, .5, (3, 3))
        return linear(x, np.where(np.eye(3, dtype=bool), 1., off))

    def normal(self, x: np.ndarray, noise: float = .01) -> np.ndarray:
        rng, x = self.rng, self.weak(x)
        if rng.random() < .5:
            x = flip(x, self.mirror)
        angles = rng.uniform(0, np.radians(1), 3)
        angles[rng.integers(3)] *= 30
        x = linear(x, rotation(-angles))
        if rng.random() < .5:
            x = x + rng.normal(0, noise, x.shape)
        if rng.random() < .5:
            x = blur(x, rng.uniform(.1, 2))
        return axis_mask(x, rng.integers(3)) if rng.random() < .5 else x

    def strong(self, x: np.ndarray) -> np.ndarray:
        x = self.normal(x, .05)
        if self.rng.random() < .5:
            x = interpolate(x, int(x.shape[1] * self.rng.uniform(.5, 1.5)))
        return rescale(x, .5 * self.rng.uniform(0, 1, x.shape[2]), self.parents, self.order)

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        return [self.strong(x), self.normal(x), self.weak(x), self.weak(x)]
