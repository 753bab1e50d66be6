"""Classify long recordings window by window, and merge the windows to segments."""
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.inference.classifier import Predictions, SkeletonClassifier
from mmskelssl.inference.clips import ClipSet
from mmskelssl.inference.predictions import write_table
from mmskelssl.inference.segments import ENTER, LEAVE, SHORTEST, Segment, segments
from mmskelssl.inference.windows import Window, columns, cut
from mmskelssl.visualization.timeline import Track, draw_timeline

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


def default_persons(classifier: SkeletonClassifier) -> str:
    """Return ``each`` if the preprocessing of a classifier keeps one person, and ``together`` otherwise."""
    steps = classifier.members[0].info['dataset']['pipeline']
    most = [step.get('max_persons', 2) for step in steps if step['type'].endswith('SelectPersons')]
    return 'each' if most == [1] else 'together'


def over_time(classifier: SkeletonClassifier, clips: ClipSet, window: float = 2., stride: float = .5,
              fps: float | None = None, persons: str | None = None, convert: bool = False) -> Timeline:
    """Classify the windows of recordings.

    Args:
        classifier: The classifier.
        clips: The recordings.
        window, stride: Durations in seconds, see :func:`~mmskelssl.inference.windows.cut`.
        fps: Frames per second of recordings that do not state theirs. By default, that of the classifier.
        persons: ``each`` cuts and classifies the track of each person by itself, ``together`` shows all persons in
            each window. By default, ``each`` for a classifier of one person.
        convert: Convert recordings of another layout.

    Raises:
        UserError: If the frame rate is not known, or a window cannot be classified.
    """
    rate = clips.fps or fps or classifier.fps
    if rate is None:
        raise UserError('the frame rate of the recordings is not known, so their windows are not: add --fps')
    persons = persons or default_persons(classifier)
    if persons not in PERSONS:
        raise UserError(f'--persons {persons}: choose one of {", ".join(PERSONS)}')
    parts, windows = cut(clips, window, stride, rate, persons == 'each')
    return Timeline(clips, windows, classifier(parts, convert=convert))


def segment_rows(found: Sequence[Segment]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the lines of a table of segments."""
    return ['id', 'person', 'start', 'end', 'class', 'probability'], [
        [one.id, '' if one.person is None else str(one.person), f'{one.start:.3f}', f'{one.end:.3f}', one.label,
         f'{one.probability:.4f}'] for one in found]


def write_segments(path: str, found: Sequence[Segment]) -> None:
    """Write segments as ``.csv`` or ``.json``."""
    if path.lower().endswith('.json'):
        plain = [{('class' if key == 'label' else key): value for key, value in asdict(one).items()} for one in found]
        write_table(path, (json.dumps(plain, indent=1) + '\n').encode())
    elif path.lower().endswith('.csv'):
        write_table(path, *segment_rows(found))
    else:
        raise UserError(f'{path}: the suffix must be .csv or .json')


def draw_segments(path: str, timeline: Timeline, found: Sequence[Segment]) -> int:
    """Draw each recording and person with probabilities and segments as ``.png``. Returns how many were drawn."""
    place = {name: i for i, name in enumerate(timeline.predictions.classes)}
    tracks = []
    for clip, person in dict.fromkeys((window.clip, window.person) for window in timeline.windows):
        rows = [row for row, window in enumerate(timeline.windows) if (window.clip, window.person) == (clip, person)]
        keypoints, name = timeline.clips.read(clip)[0], timeline.clips.ids[clip]
        own = [timeline.windows[row] for row in rows]
        tracks.append(Track(
            name if person is None else f'{name}, person {person}',
            keypoints if person is None else keypoints[person:person + 1], keypoints.shape[1] / own[0].fps,
            np.array([(window.start + window.end) / 2 for window in own]), timeline.predictions.probabilities[rows],
            [(one.start, one.end, place.get(one.label, -1)) for one in found
             if (one.id, one.person) == (name, person)]))
    return draw_timeline(tracks, timeline.predictions.classes, timeline.clips.layout, path)
