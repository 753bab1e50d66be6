"""Repairs of damaged sequences. Each returns a description of what it changed."""
import numpy as np


def unmasked(values):
    """Return a masked array with NaN in its masked places, and anything else as it is. NumPy drops masks silently."""
    if not isinstance(values, np.ma.MaskedArray) or values.dtype.kind not in 'fiu':
        return values
    return values.astype(np.result_type(values, np.float32)).filled(np.nan)


def fill_gaps(keypoints: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Fill NaN and Inf coordinates by linear interpolation over time between the frames with a known joint.

    Before the first and after the last such frame the joint keeps its position. Frames without the person (all zeros)
    are not used. A clip cannot be repaired if a joint of a person is never known, or if less than half of the joint
    positions are known.

    Args:
        keypoints: (M, T, V, C).

    Returns:
        The unchanged or repaired clip, or None if it cannot be repaired; and a description of the change or the reason.
    """
    if np.isfinite(keypoints).all():
        return keypoints, ''
    seen = np.isfinite(keypoints).all(-1)  # (M,T,V)
    gaps = f'{seen.size - seen.sum()} of {seen.size} joint positions'
    known = seen & np.asarray(keypoints.any((2, 3)))[..., None]
    holes = np.argwhere(~seen.all(1))  # (person, joint)
    never = [int(joint) for person, joint in holes if not known[person, :, joint].any()]
    if never:
        return None, f'and joint {never[0]} is never seen ({gaps})'
    if seen.mean() < .5:
        return None, gaps
    mended, time = keypoints.copy(), np.arange(keypoints.shape[1])
    for person, joint in holes:
        gap, there = ~seen[person, :, joint], known[person, :, joint]
        for channel in range(keypoints.shape[3]):
            track = mended[person, :, joint, channel]
            track[gap] = np.interp(time[gap], time[there], track[there])
    return mended, f'{gaps} were NaN or Inf, filled in over time'


def drop_empty(keypoints: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Drop frames without any person (all zeros), and persons who never appear.

    Args:
        keypoints: (M, T, V, C).

    Returns:
        As for :func:`fill_gaps`; None for a clip without any person.
    """
    persons, frames = bodies(keypoints)
    if not frames.any():
        return None, 'every coordinate is zero, there is no body in it'
    done = [f'{count} of {len(there)} {what} without a body dropped' for what, there in
            (('frames', frames), ('persons', persons)) if (count := int((~there).sum()))]
    return keypoints[persons][:, frames], '; '.join(done)


def bodies(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (M,) bool: persons visible in any frame, and (T,) bool: frames with any person, of a clip (M, T, V, C)."""
    seen = np.asarray(keypoints.any((2, 3)))
    return np.asarray(seen.any(1)), np.asarray(seen.any(0))
