"""Mends: what is done to damaged sequences, and nothing else. Each says in words what it did."""
import numpy as np


def fill_gaps(keypoints: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Fill in coordinates that are NaN or Inf: linearly over time between the frames in which the joint is seen.

    Before the first and after the last of them the joint stays where it is. Frames in which the person is not there
    (all zeros) tell nothing of its joints. A joint that a person never shows, or a clip of which less than half is
    known, has no mend.

    Args:
        keypoints: (M, T, V, C).

    Returns:
        The clip, as it is or mended, or None; and what was done, or why it could not be.
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
    """Leave out frames in which no person is seen (all zeros), and persons who are never seen.

    Args:
        keypoints: (M, T, V, C).

    Returns:
        As :func:`fill_gaps`; None where nobody is ever seen.
    """
    persons, frames = bodies(keypoints)
    if not frames.any():
        return None, 'every coordinate is zero, there is no body in it'
    done = [f'{count} of {len(there)} {what} without a body left out' for what, there in
            (('frames', frames), ('persons', persons)) if (count := int((~there).sum()))]
    return keypoints[persons][:, frames], '; '.join(done)


def bodies(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) persons who are seen in any frame, and (T,) frames in which anybody is seen, of a clip (M, T, V, C)."""
    seen = np.asarray(keypoints.any((2, 3)))
    return np.asarray(seen.any(1)), np.asarray(seen.any(0))
