"""The published preprocessing (methods.md 0.1, steps 2 to 5), a sequence at a time, turned frame by frame."""
import numpy as np


def resize(x: np.ndarray, frames: int) -> np.ndarray:
    """Linear in time at half-pixel centres, (M, L, V, C) -> (M, frames, V, C) (step 4)."""
    length = x.shape[1]
    position = np.clip((np.arange(frames) + .5) * length / frames - .5, 0, length - 1)
    low = np.floor(position).astype(int)
    weight = (position - low)[None, :, None, None]
    return x[:, low] * (1 - weight) + x[:, np.minimum(low + 1, length - 1)] * weight


def preprocess(x: np.ndarray, frames: int, centre: int, left: int, right: int) -> np.ndarray:
    """Centre, resize, turn. (M, L, V, 3) float64 -> (M, frames, V, 3).

    Args:
        centre: Joint subtracted from each frame and person.
        left, right: Shoulders.
    """
    length = int((np.abs(x[0, :, 0]).sum(1) != 0).sum())
    out = resize((x - x[:, :, centre:centre + 1])[:, :length], frames)
    for person in out:
        angles, forward = np.empty(frames), 0.
        for t, body in enumerate(person):
            across = body[right] - body[left]
            across[1] = 0
            angles[t] = np.arccos(across[0] / (np.linalg.norm(across) + 1e-4))
            forward += across[2]
        if forward >= 0:
            angles = -angles
        for t, angle in enumerate(angles):
            c, s = np.cos(angle), np.sin(angle)
            person[t] = person[t] @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]).T
    return out
