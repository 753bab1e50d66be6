"""Merge the predictions of windows to segments: what each person does from when to when."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.inference.predictions import UNKNOWN, Predictions
from mmskelssl.inference.windows import Window

ENTER, LEAVE, SHORTEST = .6, .4, 1.


@dataclass(frozen=True)
class Segment:
    """A movement of a recording.

    Args:
        id: Name of the recording.
        person: Number of the person, or None if the windows show all persons.
        start, end: Seconds from the start of the recording.
        label: Class, or ``unknown``.
        probability: Mean probability of the class over the windows; for ``unknown``, that of the best classes.
    """
    id: str
    person: int | None
    start: float
    end: float
    label: str
    probability: float


def check_limits(enter: float, leave: float, shortest: float) -> None:
    """Raise a UserError if the limits of :func:`segments` are not 0 <= leave <= enter <= 1 and a duration."""
    if not 0 <= leave <= enter <= 1 or not shortest >= 0:
        raise UserError(f'segments: --enter {enter}, --leave {leave} and --shortest {shortest}; expected 0 <= leave <= '
                        'enter <= 1, and a duration')


def segments(ids: Sequence[str], windows: Sequence[Window], predictions: Predictions, enter: float = ENTER,
             leave: float = LEAVE, shortest: float = SHORTEST) -> list[Segment]:
    """Merge consecutive windows of one class.

    A window represents the time around its middle: from half a stride before to half a stride after it. A segment
    starts with a window whose best class has a probability of at least ``enter``. It ends when the probability of the
    class falls below ``leave``, or another class reaches ``enter``. Time outside of segments is ``unknown``. Segments
    shorter than ``shortest`` become part of the unknown time.

    Args:
        ids: Names of the recordings.
        windows: Windows in the order of :func:`~mmskelssl.inference.windows.cut`.
        predictions: Their predictions.
        enter: Probability at which a segment starts. It is at least the threshold of the classifier.
        leave: Probability below which a segment ends. At most ``enter``.
        shortest: Least duration of a segment in seconds.

    Returns:
        Segments of all recordings and persons, in order. They cover each stretch of windows without a gap.

    Raises:
        UserError: If the limits are not 0 <= leave <= enter <= 1.
    """
    check_limits(enter, leave, shortest)
    enter = max(enter, predictions.threshold)
    made: list[Segment] = []
    for rows in _tracks(windows):
        first = windows[rows[0]]
        states = _states(predictions.probabilities[rows], enter, leave)
        edges = _edges([windows[row] for row in rows])
        runs = _without_short(_runs(states), edges, shortest)
        for state, start, stop in runs:
            inside = predictions.probabilities[rows[start:stop]]
            chance = inside[:, state].mean() if state >= 0 else inside.max(1).mean()
            made.append(Segment(ids[first.clip], first.person, edges[start], edges[stop],
                                predictions.classes[state] if state >= 0 else UNKNOWN, float(chance)))
    return made


def _tracks(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Yield the rows of stretches of windows of one recording and person that follow each other without a gap."""
    rows: list[int] = []
    for row, window in enumerate(windows):
        before = windows[rows[-1]] if rows else window
        same = (window.clip, window.person) == (before.clip, before.person)
        if rows and not (same and window.first <= before.first + before.frames):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _states(chances: np.ndarray, enter: float, leave: float) -> list[int]:
    """Return the class of each window with hysteresis, or -1 outside of segments."""
    states, current = [], -1
    for row in chances:
        best = int(row.argmax())
        if current >= 0 and row[current] < leave:
            current = -1
        if best != current and row[best] >= enter:
            current = best
        states.append(current)
    return states


def _edges(windows: Sequence[Window]) -> list[float]:
    """Return the times between windows, midway between their middles, and both ends of the stretch."""
    middles = [(window.start + window.end) / 2 for window in windows]
    between = [(a + b) / 2 for a, b in zip(middles[:-1], middles[1:], strict=True)]
    return [windows[0].start, *between, windows[-1].end]


def _runs(states: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (state, first, past the last) of equal states in a row."""
    runs: list[tuple[int, int, int]] = []
    for place, state in enumerate(states):
        if runs and runs[-1][0] == state:
            runs[-1] = (state, runs[-1][1], place + 1)
        else:
            runs.append((state, place, place + 1))
    return runs


def _without_short(runs: list[tuple[int, int, int]], edges: Sequence[float],
                   shortest: float) -> list[tuple[int, int, int]]:
    states = [-1 if edges[stop] - edges[start] < shortest - 1e-9 else state
              for state, start, stop in runs for _ in range(start, stop)]
    return _runs(states)
