"""Shared functions of all readers: JSON, numbers, persons and frame numbers."""
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from mmskelssl.datasets.importers.pose.contract import MAX_FRAMES, Lost, Person
from mmskelssl.datasets.importers.source import text_of
from mmskelssl.datasets.store.schema import unique_keys

MAX_BYTES = 64 << 20
FRAME_KEYS = ('frame_id', 'frame_index', 'frame', 'frame_idx', 'frameNum', 'frame_number')
PEOPLE_KEYS = ('people', 'persons', 'instances', 'predictions', 'annotations', 'bodies', 'poses')
SCORE_KEYS = ('keypoint_scores', 'keypoints_score', 'keypoints_scores', 'keypoint_score')
TRACK_KEYS = ('track_id', 'person_id', 'id_', 'idx', 'body_id')
COUNTS = (17, 18, 25, 26, 133, 136, 33, 21, 15, 19, 20, 13, 22, 23, 24, 32, 68)  # joints of known skeletons


def parse(data: bytes):
    """Return the content of a JSON file, or the list of values of a JSON-lines file."""
    if len(data) > MAX_BYTES:
        raise ValueError(f'it has {len(data) >> 20} MiB')
    text = text_of(data)
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except RecursionError:
        raise ValueError('nested too deeply') from None
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if error.msg != 'Extra data' or len(lines) < 2:
            raise ValueError(f'not valid JSON: {error}') from None
    except ValueError as error:  # an integer of thousands of digits, or a key that appears twice
        raise ValueError(f'not valid JSON: {str(error)[:80]}') from None
    try:
        return [json.loads(line, object_pairs_hook=unique_keys) for line in lines]
    except (RecursionError, ValueError) as error:
        raise ValueError(f'not valid JSON, nor one JSON value per line: {str(error)[:80]}') from None


def numbers(values, what: str) -> np.ndarray:
    """Convert to a float64 array. None, NaN, Inf and numbers beyond any picture become NaN, also whole rows."""
    if isinstance(values, list) and any(value is None for value in values):
        width = next((len(value) for value in values if isinstance(value, list)), 0)
        values = [[None] * width if value is None and width else value for value in values]
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'{what}: not numbers, or rows of different lengths') from None
    if not array.ndim:
        raise ValueError(f'{what}: not a list of numbers')
    return np.where(np.abs(array) < 1e9, array, np.nan)


def is_numbers(values) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, int | float | None) for v in values)


UNREADABLE = 'persons that cannot be read: '


def person(values, what: str, lost: Lost, scores=None, track=None, joints: int = 0, hide: bool = True) -> Person | None:
    """Read a person from a flat or nested list. Returns None, and counts it, for an empty or unreadable person.

    Args:
        values: V * C numbers or V rows.
        scores: V numbers.
        joints: Expected joints, for flat lists that can be read in two ways.
        hide: Whether a joint with a score of 0 or less is missing.
    """
    try:
        return _person(values, what, lost, scores, track, joints, hide)
    except ValueError as error:
        lost[UNREADABLE + str(error).removeprefix(f'{what}: ')] += 1
        return None


def _person(values, what: str, lost: Lost, scores, track, joints: int, hide: bool) -> Person | None:
    if values is None or isinstance(values, list | dict | str) and not values:
        lost['persons without keypoints'] += 1
        return None
    points = numbers(values, what)
    scores = None if scores is None else numbers(scores, what).ravel()
    if points.ndim == 3 and len(points) == 1:
        points = points[0]
    if points.ndim == 1:
        points = points.reshape(-1, _width(points.size, len(scores) if scores is not None else joints, what))
    if points.ndim != 2 or not 2 <= points.shape[1] <= 4:
        raise ValueError(f'{what}: a person of shape {points.shape}, expected V rows of x, y[, z][, score]')
    if scores is not None and len(scores) != len(points):
        raise ValueError(f'{what}: {len(scores)} scores for {len(points)} joints')
    seen = np.isfinite(points).all(1)
    if not seen.all():
        lost['joints without numbers'] += int((~seen).sum())
        points = np.where(seen[:, None], points, np.nan)
    if scores is not None:
        scores = np.where(np.isfinite(scores), scores, 0)
        if hide:
            points = np.where((scores > 0)[:, None], points, np.nan)
    if not seen.any():
        lost['persons without keypoints'] += 1
        return None
    return Person(points, scores, track)


def _width(count: int, joints: int, what: str) -> int:
    if joints and count % joints == 0 and 2 <= count // joints <= 4:
        return count // joints
    fitting = [width for width in (3, 2) if count % width == 0 and count // width in COUNTS]
    if not fitting:
        raise ValueError(f'{what}: {count} numbers for a person, expected V times x, y, score')
    return fitting[0]


def person_of(found, what: str, lost: Lost, joints: int = 0) -> Person | None:
    """Read a person in the most common form: a dict with ``keypoints``, or only the numbers.

    ``keypoints`` may be flat, rows, lists under x, y[, z] and visible, or a list of dicts with x, y[, z][, score].
    """
    if not isinstance(found, dict):
        return person(found, what, lost, joints=joints)
    if 'keypoints' not in found:
        lost['detections of something else (no keypoints)'] += 1
        return None
    points = found['keypoints']
    scores = next((found[key] for key in SCORE_KEYS if found.get(key) is not None), None)
    depth = False
    names: tuple[str, ...] = ()
    if isinstance(points, dict) and points:
        depth = points.get('z') is not None
        scores = points.get('visible', points.get('score', points.get('confidence', scores)))
        axes = [points.get(axis) for axis in 'xyz' if points.get(axis) is not None]
        points = numbers(axes, what).T.tolist() if len(axes) > 1 and all(axes) else None
    elif isinstance(points, list) and points and isinstance(points[0], dict):
        depth = any(isinstance(point, dict) and 'z' in point for point in points)
        try:
            points, scores, names = from_dicts(points, what)
        except ValueError as error:
            lost[UNREADABLE + str(error).removeprefix(f'{what}: ')] += 1
            return None
    track = next((track for key in TRACK_KEYS if (track := identity(found.get(key))) is not None), None)
    one = person(points, what, lost, scores, track, joints)
    return one and one._replace(depth=depth, names=names)


def identity(value) -> int | str | None:
    """Return the identity of a person: a number or text, or a list of one of them, as AlphaPose writes; else None."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value or None
    number = None if isinstance(value, bool) else _whole(value)
    return None if number == -1 else number  # of a person who is not tracked


def from_dicts(points: Sequence, what: str) -> tuple[list, list | None, tuple[str, ...]]:
    """Return (rows, scores, names) of joints given as dicts with x, y[, z], optional score or visibility, and name.

    Joints that are numbered, but not named, are put into the order of their numbers. Empty dicts are missing joints.
    """
    if not all(isinstance(point, dict) for point in points):
        raise ValueError(f'{what}: some joints are dicts, others are not')
    points = [{**point, **point['position']} if isinstance(point.get('position'), dict) else point  # PoseNet's
              for point in points]
    there = [point for point in points if point.get('x') is not None]
    key = next((key for key in ('score', 'visibility', 'confidence') if any(key in point for point in there)), None)
    for part in ('z', key):
        if part and 0 < sum(part in point for point in there) < len(there):
            raise ValueError(f'{what}: some joints have {part}, others do not')
    names = tuple(str(point.get('name', point.get('part', ''))) for point in points)
    if not any(names):
        points = _by_their_numbers(points)
    axes = 'xyz' if any('z' in point for point in points) else 'xy'
    rows = [[point.get(axis) for axis in axes] for point in points]
    return rows, [point.get(key) for point in points] if key else None, names if all(names) else ()


def _by_their_numbers(points: Sequence[dict]) -> Sequence[dict]:
    """Return joints in the order of their numbers, if these are 0, 1, 2, ... or 1, 2, 3, ..."""
    for key in ('id', 'index', 'landmark_id', 'joint_id'):
        place = {number: point for point in points if type(number := point.get(key)) is int}
        for first in (0, 1):
            wanted = range(first, first + len(points))
            if set(place) == set(wanted):
                return [place[number] for number in wanted]
    return points


def same_joints(frames: list[list[Person]], lost: Lost) -> tuple[list[list[Person]], tuple[str, ...]]:
    """Put the joints of all persons into the order of the first person whose joints have names.

    Returns:
        The frames, and the names. Persons with other joints are left out, and counted.
    """
    names = next((one.names for people in frames for one in people if one.names), ())
    made: list[list[Person]] = []
    for people in frames:
        made.append([])
        for one in people:
            if not one.names or one.names == names:
                made[-1].append(one)
            elif sorted(one.names) == sorted(names) and len(set(names)) == len(names):
                order = [one.names.index(name) for name in names]
                made[-1].append(one._replace(points=one.points[order], names=names, scores=None if one.scores is None
                                             else one.scores[order]))
            else:
                lost[f'{UNREADABLE}joints with other names than those of the first person'] += 1
    return made, names


def picture_place(name: str) -> tuple[str, int | None]:
    """Return (clip, frame number) of a picture: its folder and the name before the last number, and the number."""
    path = PurePosixPath(name.replace('\\', '/'))
    prefix, number = last_number(path.name)
    folder = path.parent.as_posix().removeprefix('.')
    return '/'.join(part for part in (folder, prefix) if part), number


def frame_list(content, *keys: str) -> list:
    """Return the list of frames: the content itself, or the value of one of the keys."""
    if isinstance(content, dict):
        content = next((content[key] for key in keys if key in content), None)
    if not isinstance(content, list) or not 0 < len(content) <= MAX_FRAMES:
        raise ValueError(f'neither a list of 1 to {MAX_FRAMES} frames, nor one under {" or ".join(keys)}')
    return content


def frame_number(frame) -> int | None:
    """Return the number stated in a frame."""
    if isinstance(frame, Mapping):
        return next((number for key in FRAME_KEYS if (number := _whole(frame.get(key))) is not None), None)
    return None


def _whole(value) -> int | None:
    if isinstance(value, str) and re.fullmatch(r'\d{1,15}', value, re.ASCII):
        return int(value)
    if type(value) is int or type(value) is float and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return None


def in_order(frames: Sequence[tuple[int, list]]) -> list[list]:
    """Order frames by their numbers. Missing numbers become frames without persons.

    The step is the greatest common divisor up to 1000, so frames 0, 5, 10 are three frames. Frames with the same number
    are joined.
    """
    first = min(number for number, _ in frames)
    step = math.gcd(*(number - first for number, _ in frames)) or 1
    step = step if step <= 1000 else 1
    count = (max(number for number, _ in frames) - first) // step + 1
    if count > min(MAX_FRAMES, 10 * len(frames) + 100):
        raise ValueError('the numbers cannot be frame numbers: they are too far apart')
    ordered: list[list] = [[] for _ in range(count)]
    for number, people in frames:
        ordered[(number - first) // step] += people
    return ordered


def ordered(frames: Sequence[tuple[int | None, list[Person]]], lost: Lost) -> list[list[Person]]:
    """Order frames by the numbers that a file states, see :func:`in_order`, or leave them if it does not number all."""
    numbered = [(number, people) for number, people in frames if number is not None]
    if len(numbered) < len(frames):
        if numbered:
            lost['frames without a number, so that all are read in their order'] += len(frames) - len(numbered)
        return [people for _, people in frames]
    check_restart(numbered)
    return in_order(numbered)


def check_restart(frames: Sequence[tuple[float, list[Person]]]) -> None:
    """Refuse frames whose numbers begin again, such as those of two videos: their persons would be put together.

    Persons may come one after the other if their identities differ.

    Args:
        frames: Numbers and persons in the order of the file.

    Raises:
        ValueError: A number comes again after another one, and the persons cannot be told apart.
    """
    seen: dict[float, set] = {}
    last: float | None = None
    for number, people in frames:
        tracks, known = {one.track for one in people}, seen.setdefault(number, set())
        if number != last and tracks and known and (None in tracks | known or tracks & known):
            raise ValueError(f'frame {number} comes again after frame {last}: are these several videos, which need a '
                             'file or the name of a clip each, or several persons, who need identities?')
        known |= tracks
        last = number


_SUFFIX = r'(?:[_.-](?:keypoints|keypoints2d|poses?|results?|predictions?|labels?|body|skeletons?|frame))?'


def last_number(name: str) -> tuple[str, int | None]:
    """``video_000012_keypoints.json`` -> (``video``, 12): the name before the last number, and the number."""
    if len(name) > 1000:  # the expressions below take time that grows with the square
        raise ValueError(f'a name of {len(name)} characters')
    stem = re.sub(r'(\.[A-Za-z]\w{0,19})+$', '', name)
    match = re.fullmatch(rf'(.*?)(\d{{1,15}})[)\]]?{_SUFFIX}', stem, re.DOTALL | re.IGNORECASE)
    return (match[1].rstrip('_- .(['), int(match[2])) if match else (stem, None)
