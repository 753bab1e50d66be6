"""Checks a sample before it is written: its keypoints and scores, and its entry in the index."""
import json
import operator

import numpy as np

from mmskelssl.datasets.store.mend import fill_gaps, unmasked
from mmskelssl.datasets.store.schema import MAX_CLASSES, SUBJECTS, is_name, plain
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


def checked_frames(name: str, keypoints: np.ndarray, scores: np.ndarray | None, layout: SkeletonLayout, channels: int,
                   scored: bool) -> tuple[np.ndarray, str]:
    """Return the numbers of a sample as they are stored, and a note on what was filled in or changed.

    Args:
        name: Id, for messages.
        keypoints: (M, T, V, C).
        scores: (M, T, V), or None.
        layout, channels: Layout and number of coordinates of the store.
        scored: Whether the store has scores.

    Returns:
        (M, T, V, C) float32, or (M, T, V, C + 1) with the scores last if the store has scores.

    Raises:
        UserError: The sample does not fit the store, or its gaps cannot be filled in.
    """
    keypoints = np.asarray(unmasked(keypoints))
    wanted = (layout.num_joints, channels)
    if keypoints.ndim != 4 or keypoints.shape[2:] != wanted:
        raise UserError(f'sample {name}: keypoints have shape {keypoints.shape}; layout {layout.name!r} needs '
                        f'(M, T, {wanted[0]}, {wanted[1]}): choose the layout of the data')
    if 0 in keypoints.shape[:2]:
        raise UserError(f'sample {name}: empty sequence, shape {keypoints.shape}')
    try:
        with np.errstate(over='ignore'):  # overflow counts as non-finite
            frames = np.ascontiguousarray(keypoints, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f'sample {name}: keypoints are not numbers ({error})') from None
    known = np.asarray(np.isfinite(frames).all(-1))
    mended, filled = fill_gaps(frames)
    if mended is None:
        raise UserError(f'sample {name}: keypoints contain NaN or Inf, {filled}')
    if scores is not None:
        scores, repaired = _checked_scores(name, scores, known)
        filled = '; '.join(filter(None, (filled, repaired)))
    elif scored:
        scores = (np.asarray(mended.any(-1)) & known).astype(np.float32)
    return (mended if scores is None else np.concatenate([mended, scores[..., None]], -1)), filled


def _checked_scores(name: str, scores: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, str]:
    """Return scores (M, T, V) float32, 0 for unknown coordinates and invalid scores, and a note on changes."""
    try:
        scores = np.asarray(scores, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f'sample {name}: scores are not numbers ({error})') from None
    if scores.shape != known.shape:
        raise UserError(f'sample {name}: scores have shape {scores.shape}, but there are {known.shape} joints')
    good = (scores >= 0) & (scores < np.inf)
    text = '' if good.all() else f'{(~good).sum()} scores were not non-negative numbers and were set to 0'
    return np.where(good & known, scores, np.float32(0)), text


def checked_entry(name: str, offset: int, frames: np.ndarray, label: int | None, subject: int | None,
                  extra: dict) -> dict:
    """Return the entry of a sample in the index.

    Args:
        name: Id.
        offset: Its first row in the array of the store.
        frames: (M, T, ...).
        label, subject: Integers, or None.
        extra: Further plain values.

    Raises:
        UserError: If a value is not allowed.
    """
    if not is_name(name):
        raise UserError(f'sample {plain(json.dumps(name))}: an id must have at least one character and no control '
                        'characters')
    try:
        entry = dict(
            id=name, offset=offset, persons=frames.shape[0], frames=frames.shape[1],
            label=None if label is None else _whole(label),
            subject=None if subject is None else _whole(subject), **extra)
        json.dumps(entry, allow_nan=False)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f'sample {name}: label and subject must be integers, other values plain: {error}') from None
    for what, end in (('label', MAX_CLASSES), ('subject', SUBJECTS)):
        if entry[what] is not None and not 0 <= entry[what] < end:
            raise UserError(f'sample {name}: {what} {entry[what]} is negative or huge (at most {end - 1}); omit '
                            'it if there is none')
    return entry


def _whole(value) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(f'{value} is not a number')
    return operator.index(value)
