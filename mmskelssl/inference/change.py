"""Changes clips to the layout and the frame rate of a model."""
from collections.abc import Callable

import numpy as np

from mmskelssl.datasets.mocap.motion import resample
from mmskelssl.datasets.store.convert import joined
from mmskelssl.datasets.store.schema import MAX_FPS, is_rate
from mmskelssl.errors import UserError
from mmskelssl.inference.clips import ClipSet, Keypoints
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.layouts.convert import conversion

_SAME = .01  # relative difference of frame rates that counts as equal, such as 29.97 and 30


def check_fps(fps, what: str) -> float | None:
    """Return a frame rate as a float; None stays None.

    Raises:
        UserError: If it is not a number of frames per second.
    """
    if fps is None:
        return None
    if not is_rate(fps):
        raise UserError(f'{what} is {fps!r}: expected frames per second, above 0 and up to {MAX_FPS}')
    return float(fps)


def agreed_fps(stated: float | None, given: float | None, name: str) -> float | None:
    """Return the frame rate that a checkpoint or a store states, or else the one that the user gives.

    Args:
        stated: Rate that is stated, if any.
        given: Rate that the user gives, if any.
        name: Name of the checkpoint or the store, for messages.

    Raises:
        UserError: If the two differ, or the given one is not a rate.
    """
    given = check_fps(given, 'fps')
    if stated and given and not _same(stated, given):
        raise UserError(f'{name} states {stated:g} frames per second, and fps is {given:g}: leave out fps')
    return stated or given


def _same(fps: float, other: float) -> bool:
    return abs(fps / other - 1) <= _SAME


def change_for(clips: ClipSet, layout: SkeletonLayout, channels: int, fps: float | None, model: str,
               convert: bool = False) -> Callable[[Keypoints], Keypoints] | None:
    """Plan the change of clips to what a model was trained on.

    Args:
        clips: The clips.
        layout, channels, fps: Layout, coordinates and frame rate of the model. Without a frame rate on one of the two
            sides, clips are not resampled.
        model: Name of the model, for messages.
        convert: Convert clips of another layout if each joint of the model has a counterpart.

    Returns:
        A function that changes keypoints and scores, or None if nothing has to change.

    Raises:
        UserError: If the clips have another number of coordinates, or another layout without ``convert``.
    """
    if clips.channels != channels:
        raise UserError(f'the clips have {clips.channels} coordinates a joint, but {model} was trained on {channels}')
    steps: list[Callable[[Keypoints], Keypoints]] = []
    if clips.layout != layout:
        what = f'the clips have layout {clips.layout.name!r}, but {model} was trained on {layout.name!r}'
        try:
            plan = conversion(clips.layout, layout)
        except UserError as error:
            raise UserError(f'{what}: {error}, with mmskelssl prepare convert') from error
        if not convert:
            raise UserError(f'{what}: add --convert (convert=True in Python) to convert them')
        steps.append(lambda pair: (np.asarray(plan(pair[0]), np.float32), joined(plan, pair[1])))
    if fps and clips.fps and not _same(clips.fps, fps):
        rate = clips.fps
        steps.append(lambda pair: resampled(*pair, rate, fps))
    if not steps:
        return None

    def change(pair: Keypoints) -> Keypoints:
        for step in steps:
            pair = step(pair)
        return pair

    return change


def resampled(keypoints: np.ndarray, scores: np.ndarray | None, rate: float, fps: float) -> Keypoints:
    """Resample a clip by linear interpolation.

    A joint that is missing (all zeros) in one of the two nearest frames takes its value from the nearer one, so that
    no position between a body and the origin is invented.

    Args:
        keypoints: (M, T, V, C).
        scores: (M, T, V), or None.
        rate: Frames per second of the clip.
        fps: Frames per second of the result.
    """
    frames = keypoints.shape[1]
    try:
        place = resample(np.arange(frames, dtype=np.float64)[:, None, None], rate, fps)[:, 0, 0]
    except ValueError as error:
        raise UserError(f'a clip of {frames} frames cannot be resampled from {rate:g} to {fps:g} frames per second: '
                        f'{error}') from error
    low = np.floor(place + 1e-9).astype(int)
    high, near = np.minimum(low + 1, frames - 1), np.minimum(np.floor(place + .5).astype(int), frames - 1)
    share = (place - low).astype(np.float32)[None, :, None, None]
    seen = np.asarray(keypoints.any(-1))
    both = (seen[:, low] & seen[:, high])[..., None]
    made = np.where(both, keypoints[:, low] * (1 - share) + keypoints[:, high] * share, keypoints[:, near])
    return np.asarray(made, np.float32), None if scores is None else scores[:, near]
