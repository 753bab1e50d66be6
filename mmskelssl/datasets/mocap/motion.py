"""A recorded motion, and the forward kinematics shared by both formats."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Limits for hostile files. CMU's longest recording has 22,948 frames, and its skeletons have 31 joints.
MAX_BYTES, MAX_FRAMES, MAX_JOINTS = 48 << 20, 100_000, 256


@dataclass(frozen=True)
class Motion:
    """Positions of named joints.

    Args:
        names: Joint names, (V,).
        parents: Parent of each joint, parents first; the root is its own parent.
        positions: (T,V,3) in metres, or in the file's unit if the file does not state it.
        rate: Frames per second; None if the file does not state it.
    """
    names: list[str]
    parents: list[int]
    positions: np.ndarray
    rate: float | None


def numbers(words: Sequence[str], what: str, count: int | None = None, finite: bool = True) -> np.ndarray:
    """Parse floats.

    Args:
        words: Numbers as text.
        what: Description of the values for error messages.
        count: Expected number of values.
        finite: Whether to refuse NaN and Inf. Gaps in a motion may be NaN.

    Raises:
        ValueError: A word is not a number, or the count or a value is wrong.
    """
    if count is not None and len(words) != count:
        raise ValueError(f'{what}: {len(words)} numbers instead of {count}')
    try:
        values = np.array(list(map(float, words)))
    except ValueError as error:
        raise ValueError(f'{what}: {str(error)[:80]}') from None
    if finite and not np.isfinite(values).all():
        raise ValueError(f'{what}: NaN or Inf')
    return values


def euler(axes: str, angles: np.ndarray, degrees: bool) -> np.ndarray:
    """Convert angles (T,len(axes)) to matrices (T,3,3). As in scipy, ``xyz`` are fixed axes, ``XYZ`` moving axes."""
    if axes.islower():  # the same as moving axes in reverse order
        axes, angles = axes[::-1], angles[:, ::-1]
    matrices = np.tile(np.eye(3), (len(angles), 1, 1))
    angles = np.radians(angles) if degrees else angles
    for axis, angle in zip(axes.lower(), angles.T[..., None], strict=True):
        with np.errstate(invalid='ignore'):  # an infinite angle gives NaN
            cos, sin = np.cos(angle), np.sin(angle)
        i, j = dict(x=(1, 2), y=(2, 0), z=(0, 1))[axis]
        a, b = matrices[..., i], matrices[..., j]
        matrices[..., i], matrices[..., j] = a * cos + b * sin, b * cos - a * sin
    return matrices


def check_size(joints: int, frames: int = 0) -> None:
    """Raise a ValueError for motions too large for memory."""
    if joints > MAX_JOINTS or frames > MAX_FRAMES:
        raise ValueError(f'{joints} joints, {frames} frames; at most {MAX_JOINTS} and {MAX_FRAMES} are read')


def check_rate(rate: float) -> float:
    """Return a file's frames per second. Raises a ValueError for a rate that would leave out or invent most frames."""
    if not 1 <= rate <= 1e4:
        raise ValueError(f'a frame rate of {rate:g} per second is implausible')
    return rate


def forward_kinematics(parents: Sequence[int], rotations: Sequence[np.ndarray], offsets: Sequence[np.ndarray],
                       root: np.ndarray, own: bool) -> np.ndarray:
    """Compute the joint positions of all frames at once.

    Args:
        parents: Parent of each joint, parents first; joint 0 is the root.
        rotations: Rotation of each joint relative to its parent, V x (T,3,3) or (1,3,3).
        offsets: Offset of each joint from its parent in the unrotated frame, V x (3,) or (T,3).
        root: Position of the root, (T,3).
        own: True if a joint's own rotation turns its offset (Acclaim: a joint is the far end of its bone); False if the
            parent's rotation does (Biovision: a joint is the near end).

    Returns:
        Positions (T,V,3).
    """
    turns, positions, inner = [rotations[0]], [root], set(parents)
    for joint in range(1, len(parents)):
        parent = parents[joint]
        # The rotation of a joint at the end turns nothing but its own offset.
        turns.append(turns[parent] @ rotations[joint] if own or joint in inner else rotations[joint])
        offset = turns[joint if own else parent] @ np.asarray(offsets[joint])[..., None]
        positions.append(positions[parent] + offset[..., 0])
    return np.stack(positions, 1)


def ratio(rate: float, fps: float) -> float:
    """Return ``rate`` / ``fps``, as an integer if it is almost one: 1 / 0.0083333 is 120."""
    step = rate / fps
    return round(step) if abs(step - round(step)) < .01 * step else step


def resample(positions: np.ndarray, rate: float, fps: float) -> np.ndarray:
    """Resample (T,V,3) from ``rate`` to ``fps`` frames per second.

    An integer ratio k keeps every k-th frame; other ratios interpolate linearly.
    """
    step = ratio(rate, fps)
    check_size(positions.shape[1], int((len(positions) - 1) / step))
    time = np.arange(int((len(positions) - 1) / step + 1e-6) + 1) * step
    before = np.minimum(time.astype(int), len(positions) - 1)
    after = np.minimum(before + (time > before), len(positions) - 1)  # a gap after a whole frame doesn't reach it
    share = (time - before)[:, None, None]
    return positions[before] * (1 - share) + positions[after] * share
