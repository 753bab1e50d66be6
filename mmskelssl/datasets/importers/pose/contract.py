"""The contract of the pose readers, which convert a file's content to named clips of frames with persons.

A reader is a module with

- ``PROGRAM``: the program that writes such files, for messages;
- ``LAYOUTS``: number of joints -> layout, for files that do not name their joints;
- ``detects(content) -> str | None``: description of the content, judged by its fields; None if it is
  something else;
- ``read(content, options, lost) -> list[Clip]``: the clips. What is dropped from a file is counted in ``lost``. A
  ValueError says why nothing can be read.
"""
from collections import Counter
from typing import Literal, NamedTuple

import numpy as np

MAX_FRAMES = 100_000


class Person(NamedTuple):
    """One detection.

    Args:
        points: (V, C), C 2 to 4, NaN where a joint is not seen.
        scores: (V,) confidences. None if the file has none, or has them as the third number of ``points``.
        track: Identity over time. None if the file does not state it.
        depth: Whether the file calls the third number z, so that it is no score.
        names: Names of the joints, if the file has them for each person.
    """
    points: np.ndarray
    scores: np.ndarray | None = None
    track: int | str | None = None
    depth: bool = False
    names: tuple[str, ...] = ()


class Clip(NamedTuple):
    """A clip of a file.

    Args:
        frames: Persons of each frame.
        name: Name within the file; empty for the only clip of a file.
        joints: Names of the joints in the file.
        label: Class name, if the file states it.
        units: Units of the coordinates, if the format defines them.
    """
    frames: list[list[Person]]
    name: str = ''
    joints: tuple[str, ...] = ()
    label: str | None = None
    units: str = ''


class Options(NamedTuple):
    """Options of the user for reading.

    Args:
        landmarks: World or picture coordinates, for MediaPipe and TensorFlow.js.
        files: Whether a list of persons is one picture, or each person is a frame. ``auto`` means a picture.
        joints: Expected number of joints, which distinguishes x, y from x, y, score in flat lists. 0 if unknown.
        hands: Whether to read the hands if a file separates them from the body.
    """
    landmarks: Literal['world', 'image'] | None = None
    files: Literal['auto', 'clips', 'pictures'] = 'auto'
    joints: int = 0
    hands: bool = False


Lost = Counter  # reason -> count
