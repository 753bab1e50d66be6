"""Predictions for long recordings, window by window, and the segments into which windows merge."""
from collections.abc import Sequence
from dataclasses import dataclass

from mmskelssl.inference.clips import ClipSet
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.segments import ENTER, LEAVE, SHORTEST, Segment, segments
from mmskelssl.inference.windows import Window, columns

PERSONS = ('each', 'together')


@dataclass(frozen=True)
class Timeline:
    """Predictions for the windows of recordings.

    Args:
        clips: The recordings.
        windows: The windows.
        predictions: A prediction for each window.
    """
    clips: ClipSet
    windows: Sequence[Window]
    predictions: Predictions

    @property
    def columns(self) -> dict[str, list]:
        """``recording``, ``person``, ``start`` and ``end`` (seconds) of the windows."""
        return columns(self.clips.ids, self.windows)

    def segments(self, enter: float = ENTER, leave: float = LEAVE, shortest: float = SHORTEST) -> list[Segment]:
        """Merge the windows, see :func:`~mmskelssl.inference.segments.segments`."""
        return segments(self.clips.ids, self.windows, self.predictions, enter, leave, shortest)
