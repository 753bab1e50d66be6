"""Cut long recordings into windows of equal duration.

The frame rate decides how many frames a window has. A window that starts at ``k`` strides holds the frames from then on
until its duration is over. A recording shorter than a window is one window. The last window ends with the recording, so
that no frame is left out.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.inference.clips import ClipSet, Keypoints

MAX_WINDOWS = 1_000_000


@dataclass(frozen=True)
class Window:
    """A part of a recording.

    Args:
        clip: Number of the recording.
        person: Number of the person, or None if the window shows all persons.
        first: Its first frame.
        frames: Its number of frames.
        fps: Frames per second.
    """
    clip: int
    person: int | None
    first: int
    frames: int
    fps: float

    @property
    def start(self) -> float:
        """Start in seconds."""
        return self.first / self.fps

    @property
    def end(self) -> float:
        """End in seconds."""
        return (self.first + self.frames) / self.fps


def frames_of(seconds: float, fps: float, what: str) -> int:
    """Return the number of frames of a duration, at least one."""
    if not isinstance(seconds, Real) or not 0 < seconds < float('inf'):
        raise UserError(f'{what} is {seconds!r}: expected seconds above 0')
    return max(1, round(seconds * fps))


def starts(total: int, length: int, step: int) -> list[int]:
    """Return the first frames of the windows of a recording with ``total`` frames."""
    if total <= length:
        return [0]
    made = [*range(0, total - length + 1, step)]
    return made if made[-1] == total - length else [*made, total - length]


def cut(clips: ClipSet, window: float, stride: float, fps: float, per_person: bool = False,
        min_share: float = .5) -> tuple[ClipSet, list[Window]]:
    """Cut recordings into windows.

    Args:
        clips: The recordings.
        window: Duration of a window in seconds.
        stride: Seconds from the start of a window to the start of the next one.
        fps: Frames per second of recordings that do not state theirs.
        per_person: Cut each person's track by itself. Otherwise, a window shows all persons that are present in it, in
            the order of appearance.
        min_share: Share of a window's frames in which a person is present. Windows with fewer are dropped.

    Returns:
        The windows as clips, read when they are used, and their description.

    Raises:
        UserError: If a duration is invalid, or nobody is present in any window.
    """
    rate = clips.fps or fps
    length, step = frames_of(window, rate, '--window'), frames_of(stride, rate, '--stride')
    made: list[Window] = []
    for i in range(len(clips)):
        keypoints, _ = clips.read(i)
        seen = np.asarray(keypoints.any((2, 3)))  # (M, T)
        for person in range(len(seen)) if per_person else [None]:
            there = np.asarray(seen[person] if person is not None else seen.any(0))
            counts = np.concatenate([[0], np.cumsum(there)])
            for first in starts(len(there), length, step):
                frames = min(length, len(there) - first)
                if counts[first + frames] - counts[first] >= max(1, min_share * frames):
                    made.append(Window(i, person, first, frames, rate))
        if len(made) > MAX_WINDOWS:
            raise UserError(f'more than {MAX_WINDOWS:,} windows: use a longer --stride, or fewer clips')
    if not made:
        raise UserError('no window shows a person in half of its frames')

    def read(number: int) -> Keypoints:
        one = made[number]
        keypoints, scores = clips.read(one.clip)
        part = slice(one.first, one.first + one.frames)
        people = _present(keypoints[:, part]) if one.person is None else slice(one.person, one.person + 1)
        return keypoints[people, part], None if scores is None else scores[people, part]

    names = [name_of(clips.ids, one) for one in made]
    labels = None if clips.labels is None else clips.labels[[one.clip for one in made]]
    return ClipSet(names, read, clips.layout, clips.channels, rate, labels, clips.classes), made


def _present(keypoints: np.ndarray) -> np.ndarray:
    """Return the persons (M', T, V, C) of a window, in the order of appearance, as a stream shows them."""
    seen = np.asarray(keypoints.any((2, 3)))
    return np.asarray([person for person in seen.argmax(1).argsort(kind='stable') if seen[person].any()])


def columns(ids: Sequence[str], windows: Sequence[Window]) -> dict[str, list]:
    """Return ``recording``, ``person``, ``start`` and ``end`` (seconds) of windows."""
    return dict(recording=[ids[window.clip] for window in windows], person=[window.person for window in windows],
                start=[round(window.start, 6) for window in windows], end=[round(window.end, 6) for window in windows])


def name_of(ids: Sequence[str], window: Window) -> str:
    """Return the name of a window, such as ``walk person 0 1.50-3.50 s``."""
    person = '' if window.person is None else f' person {window.person}'
    return f'{ids[window.clip]}{person} {window.start:.2f}-{window.end:.2f} s'
