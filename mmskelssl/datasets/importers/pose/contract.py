"""The contract of the pose readers, which convert a file's content to named clips of frames with persons.

A reader is a module with

- ``PROGRAM``: who writes such files, for messages;
- ``LAYOUTS``: number of joints -> layout, for files that do not name their joints;
- ``detects(content) -> str | None``: what the content is, judged by its own fields; None if it is something else;
- ``read(content, options, lost) -> list[Clip]``: the clips. What a file has and a clip can't take is counted in
  ``lost``; a ValueError says why nothing can be read.
"""
from collections import Counter
from typing import Literal, NamedTuple

import numpy as np

MAX_FRAMES = 100_000


class Person(NamedTuple):
    """One detection.

    Args:
        points: (V, C), C 2 to 4, NaN where a joint is not seen.
        scores: (V,) confidences; None if the file has none, or has them as third number of ``points``.
        track: Identity over time; None if the file gives none.
    """
    points: np.ndarray
    scores: np.ndarray | None = None
    track: int | str | None = None


class Clip(NamedTuple):
    """A clip of a file.

    Args:
        frames: Persons of each frame.
        name: Name within the file; empty for the only clip of a file.
        joints: Names that the file gives to the joints.
        label: Class name, if the file says it.
        units: Of the coordinates, if the format says it.
    """
    frames: list[list[Person]]
    name: str = ''
    joints: tuple[str, ...] = ()
    label: str | None = None
    units: str = ''


class Options(NamedTuple):
    """Options of the user for reading.

    Args:
        landmarks: Of MediaPipe and TensorFlow.js: in the world, or in the picture.
        files: Whether a list of persons is one picture or one frame each; ``auto``: a picture.
        joints: Joints that are expected, to tell x, y from x, y, score in flat lists; 0 if not known.
        hands: Whether the hands are wanted, where a file has them apart from the body.
    """
    landmarks: Literal['world', 'image'] | None = None
    files: Literal['auto', 'clips', 'pictures'] = 'auto'
    joints: int = 0
    hands: bool = False


Lost = Counter  # reason -> count
