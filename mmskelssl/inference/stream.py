"""Classify live frames: the windows of a recording, each as soon as its last frame has come."""
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from mmskelssl.datasets.store.mend import unmasked
from mmskelssl.errors import UserError
from mmskelssl.inference.change import check_fps
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.clips import clips_in_memory
from mmskelssl.inference.timeline import PERSONS
from mmskelssl.inference.windows import frames_of

MIN_SHARE = .5  # of a window's frames, as in `windows.cut`


@dataclass(frozen=True)
class Event:
    """The answer to one window.

    Args:
        person: Track id of the person, or None if the window shows all persons.
        start, end: Seconds from the first frame.
        label: Most probable class, or ``unknown``.
        probability: Probability of the best class.
        probabilities: (K,) in the order of the classifier's classes.
    """
    person: Hashable
    start: float
    end: float
    label: str
    probability: float
    probabilities: np.ndarray


class SkeletonStream:
    """Classifies the windows of a stream of frames. Memory holds one window::

        stream = SkeletonStream(classifier, fps=30)
        for frame in camera:
            for event in stream.push(frame):
                print(event.end, event.person, event.label, event.probability)

    The windows are those that :meth:`SkeletonClassifier.over_time` cuts from the whole recording.

    Args:
        classifier: The classifier.
        fps: Frames per second of the stream. By default, that of the classifier.
        window, stride: Seconds of a window, and from the start of one to the start of the next.
        persons: ``each`` classifies the track of each person, ``together`` all persons. By default, ``each`` for a
            classifier of one person.
        max_persons: Most persons of one frame.

    Raises:
        UserError: If a number is invalid, or the frame rate is not known.
    """

    def __init__(self, classifier: SkeletonClassifier, fps: float | None = None, window: float = 2.,
                 stride: float = .5, persons: str | None = None, max_persons: int = 16):
        given = check_fps(fps, 'fps')
        rate = given or classifier.fps
        if rate is None:
            raise UserError('the frame rate of the stream is not known, so its windows are not: give fps')
        self.persons = persons or classifier.persons
        if self.persons not in PERSONS:
            raise UserError(f'persons is {persons!r}: choose one of {", ".join(PERSONS)}')
        if type(max_persons) is not int or max_persons < 1:
            raise UserError(f'max_persons is {max_persons!r}: expected a number of persons, 1 or more')
        self.classifier, self.fps, self.max_persons = classifier, rate, max_persons
        self.length, self.step = frames_of(window, rate, 'window'), frames_of(stride, rate, 'stride')
        self.shape = classifier.layout.num_joints, classifier.channels + classifier.takes_scores
        self._frames: deque[dict[Hashable, np.ndarray]] = deque(maxlen=self.length)
        self.count = self._closed = 0

    def push(self, frame) -> list[Event]:
        """Add a frame and return the answers to the windows that end with it.

        Args:
            frame: (V, C) of one person; (M, V, C), in which the place of a person is its track id and zeros are an
                absent person; a dict of track ids to (V, C); or None if nobody is seen.

        Raises:
            UserError: If the frame has another shape or is not finite; the stream is then as before. Or if the window
                cannot be classified, such as one that cannot be in metres.
        """
        people = self._people(frame)
        self._frames.append(people)
        self.count += 1
        return self._answers() if self._ends_a_window() else []

    def close(self) -> list[Event]:
        """Return the answers to the last window, which ends with the stream, unless they have been returned."""
        if self._closed == self.count or self._ends_a_window():
            return []
        self._closed = self.count
        return self._answers()

    def _ends_a_window(self) -> bool:
        return self.count >= self.length and (self.count - self.length) % self.step == 0

    def _people(self, frame) -> dict[Hashable, np.ndarray]:
        if frame is None:
            return {}
        if not isinstance(frame, Mapping):
            array = self._array(frame, '')
            frame = dict(enumerate(array if array.ndim == 3 else array[None]))
        people = {}
        for track, pose in frame.items():
            pose = self._array(pose, f', person {track!r}')
            if pose.shape != self.shape or pose.dtype.kind not in 'fiu':
                raise UserError(f'frame {self.count}, person {track!r}: an array of {pose.dtype} and shape '
                                f'{pose.shape}, expected numbers of shape {self.shape}: the joints of layout '
                                f'{self.classifier.layout.name!r} and their coordinates')
            with np.errstate(over='ignore'):
                pose = pose.astype(np.float32)
            if not np.isfinite(pose).all():
                raise UserError(f'frame {self.count}, person {track!r} contains NaN or Inf')
            if pose.any():
                people[track] = pose
        if len(people) > self.max_persons:
            raise UserError(f'frame {self.count} shows {len(people)} persons, more than max_persons={self.max_persons}')
        return people

    def _array(self, values, whose: str) -> np.ndarray:
        try:
            return np.asarray(unmasked(values))
        except (RuntimeError, TypeError, ValueError) as error:  # torch tensors can raise any of them
            raise UserError(f'frame {self.count}{whose} is not an array of numbers: {error}') from error

    def _answers(self) -> list[Event]:
        tracks = {track: None for people in self._frames for track in people}  # in the order of appearance
        clips = np.zeros((len(tracks), len(self._frames), *self.shape), np.float32)
        for t, people in enumerate(self._frames):
            for row, track in enumerate(tracks):
                if track in people:
                    clips[row, t] = people[track]
        enough = max(1, MIN_SHARE * len(self._frames))
        if self.persons == 'each':
            there = clips.any((2, 3)).sum(1) >= enough
            who, shown = [track for track, seen in zip(tracks, there, strict=True) if seen], [*clips[there][:, None]]
        else:
            who, shown = ([None], [clips]) if clips.any((0, 2, 3)).sum() >= enough else ([], [])
        if not shown:
            return []
        start, end = (self.count - len(self._frames)) / self.fps, self.count / self.fps
        names = [f'window {start:.2f}-{end:.2f} s' + ('' if track is None else f' of person {track!r}')
                 for track in who]
        made = self.classifier(clips_in_memory(shown, self.classifier.layout, self.classifier.channels, self.fps,
                                               names, self.classifier.takes_scores))
        return [Event(track, start, end, name, float(chances.max()), chances)
                for track, name, chances in zip(who, made.names, made.probabilities, strict=True)]
