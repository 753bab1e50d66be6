"""The published preprocessing (docs/methods.md 0.1, steps 2 to 5), one sequence at a time, rotated frame by frame."""
import numpy as np


def resize(x: np.ndarray, frames: int) -> np.ndarray:
    """Linear in time at half-pixel centres, (M, L, V, C) -> (M, frames, V, C) (step 4)."""
    length = x.shape[1]
    position = np.clip((np.arange(frames) + .5) * length / frames - .5, 0, length - 1)
    low = np.floor(position).astype(int)
    weight = (position - low)[None, :, None, None]
    return x[:, low] * (1 - weight) + x[:, np.minimum(low + 1, length - 1)] * weight


def preprocess(x: np.ndarray, frames: int, centre: int, left: int, right: int) -> np.ndarray:
    """Centre, resize, rotate. (M, L, V, 3) float64 -> (M, frames, V, 3).

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


def turn_to(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation matrix between two directions by axis and angle."""
    axis = np.cross(source, target)
    length = np.linalg.norm(source)
    if length < 1e-6 or np.linalg.norm(axis) < 1e-6 * length:
        return np.eye(3)
    angle = np.arccos(np.clip(source @ target / length, -1, 1))
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def pre_normalize(x: np.ndarray, centre: int, spine: tuple[int, int], shoulders: tuple[int, int],
                  up: np.ndarray) -> np.ndarray:
    """pyskl's normalisation as in its pipeline: each frame is checked for a body, and both rotations apply to the clip.

    Args:
        x: (M, L, V, 3) float64, one or two persons.
        spine: (bottom, top) joints. shoulders: (right, left).
    """
    frames = [[t for t in range(x.shape[1]) if not np.all(np.isclose(person[t], 0))] for person in x]
    if len(x) == 2 and len(frames[0]) < len(frames[1]):
        x = x[[1, 0]][:, np.array(frames[1])]
    else:
        x = x[:, np.array(frames[0])]
    seen = ((x != 0).sum(-1) > 0)[..., None]
    x = (x - x[0, 0, centre]) * seen
    bottom, top = x[0, 0, spine[0]], x[0, 0, spine[1]]
    x = np.einsum('abcd,kd->abck', x, turn_to(top - bottom, up))
    right, left = x[0, 0, shoulders[0]], x[0, 0, shoulders[1]]
    return np.einsum('abcd,kd->abck', x, turn_to(right - left, np.array([1., 0., 0.])))
