"""MediaPipe (Tasks and the older solutions, Python and JavaScript) and TensorFlow.js: landmarks of a body or a hand."""
import re
from collections.abc import Iterator

import numpy as np

from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options, Person
from mmskelssl.datasets.importers.pose.values import (
    UNREADABLE,
    frame_list,
    frame_number,
    from_dicts,
    identity,
    is_numbers,
    ordered,
    person,
    same_joints,
)

PROGRAM = 'MediaPipe'
LAYOUTS = {33: 'mediapipe33', 21: 'hand21', 17: 'coco17'}
KEYS = dict(world=('pose_world_landmarks', 'poseWorldLandmarks', 'worldLandmarks', 'multiHandWorldLandmarks',
                   'multi_hand_world_landmarks', 'hand_world_landmarks', 'keypoints3D'),
            image=('pose_landmarks', 'poseLandmarks', 'landmarks', 'multiHandLandmarks', 'multi_hand_landmarks',
                   'hand_landmarks', 'keypoints'))
_FRAMES = ('frames', 'results', 'data', 'poses', 'landmarks_per_frame')
_OTHERS = re.compile('(left|right)_?hand_?(world_?)?landmarks|face_?landmarks', re.IGNORECASE)
# Half a turn about the viewing direction: MediaPipe's y points down and x to the right.
_TURN = (-1, -1, 1)


def detects(content) -> str | None:
    what = _what(content)
    return f'a picture of {what}' if what and isinstance(content, dict) and not any(
        key in content for key in _FRAMES) else what


def _what(content) -> str | None:
    for frame in _first_frames(content):
        if isinstance(frame, dict):
            if any(key in frame for key in ('keypoints3D', 'keypoints')):
                return 'TensorFlow.js poses' if _is_named(frame) else None
            if any(key in frame for keys in KEYS.values() for key in keys) or 'landmark' in frame:
                return 'MediaPipe landmarks'
            return 'MediaPipe landmarks by name' if _by_name(frame) else None
        if isinstance(frame, list) and frame:
            first = frame[0]
            while isinstance(first, list) and first and isinstance(first[0], list | dict):
                frame, first = first, first[0]
            if isinstance(first, dict) and 'x' in first:
                return 'MediaPipe landmarks'
            if isinstance(first, dict) and _is_named(first):
                return 'TensorFlow.js poses'
            if is_numbers(frame) and len(frame) in (99, 132) or is_numbers(first) and len(frame) == 33:
                return 'MediaPipe landmarks as lists of numbers'
            return None
    return None


def read(content, options: Options, lost: Lost) -> list[Clip]:
    frames = []
    if isinstance(content, dict) and not any(key in content for key in _FRAMES):
        key = next((key for key in (*KEYS['world'], *KEYS['image']) if key in content), '')
        apart = options.files == 'clips' and isinstance(content.get(key), list)  # each person is a frame
        content = [{key: person} for person in content[key]] if apart else [content]
    frames_in = frame_list(content, *_FRAMES)
    if options.landmarks or not all(map(is_numbers, frames_in)):
        wanted = options.landmarks or landmarks_of(frames_in)
    else:
        wanted = 'world'
    for i, frame in enumerate(frames_in):
        people = [one and one._replace(names=names) for one, names in _people(frame, f'frame {i}', wanted, lost)]
        frames.append((frame_number(frame), [one for one in people if one]))
    in_time, names = same_joints(ordered(frames, lost), lost)
    return [Clip(in_time, joints=names, units=_units(in_time, wanted, options))]


def _units(frames: list[list[Person]], wanted: str, options: Options) -> str:
    """Return metres for world landmarks. After the turn, picture landmarks are negative unless outside the picture."""
    points = [person.points for people in frames for person in people if person.points.shape[1] > 2]
    if points and options.landmarks is None and np.mean(np.concatenate(points)[:, :2] > 0) < .1:
        wanted = 'image'  # the middle of the hips is the origin of the world
    return dict(world='m', image='image')[wanted] if points else ''


def turned(clip: Clip, options: Options) -> Clip:
    """Turn a clip of a table to y up, as for other files, if its joints are MediaPipe's in 3D."""
    people = [person for frame in clip.frames for person in frame]
    hands = {'wrist', 'thumb_cmc'} <= {re.sub(r'[ .-]+', '_', name.strip().lower()) for name in clip.joints}
    if not people or people[0].points.shape[1] < 3 or not (len(people[0].points) == 33 or hands):
        return clip
    frames = [[_turn(person) for person in frame] for frame in clip.frames]
    return clip._replace(frames=frames, units=_units(frames, options.landmarks or 'world', options))


def _turn(one: Person) -> Person:
    return one._replace(points=one.points * np.array([*_TURN, 1][:one.points.shape[1]]))


def landmarks_of(frames: list) -> str:
    """Return the kind of landmarks in frames, preferring world landmarks."""
    frames = [pose for frame in frames for pose in (frame if isinstance(frame, list) else [frame])]
    world, image = (any(isinstance(frame, dict) and any(frame.get(key) for key in KEYS[kind]) for frame in frames)
                    for kind in ('world', 'image'))
    return 'image' if image and not world else 'world'


def _first_frames(content) -> Iterator:
    if isinstance(content, dict):
        if any(key in content for keys in KEYS.values() for key in keys) or _by_name(content):
            yield content
            return
        content = next((content[key] for key in _FRAMES if key in content), None)
    if isinstance(content, list):
        yield from (frame for frame in content[:1000] if frame)


def _is_named(pose: dict) -> bool:
    points = pose.get('keypoints3D') or pose.get('keypoints')
    return isinstance(points, list) and bool(points) and isinstance(points[0], dict) and 'name' in points[0]


def _by_name(frame: dict) -> bool:
    """Return whether a frame is a dict of landmarks by name."""
    return len(frame) >= 13 and 'nose' in {str(name).lower() for name in frame} and all(
        isinstance(point, dict) and 'x' in point or is_numbers(point) for point in frame.values() if point is not None)


def _people(frame, what: str, wanted: str, lost: Lost) -> Iterator[tuple[Person | None, tuple[str, ...]]]:
    if isinstance(frame, dict) and _by_name(frame):
        names, points = tuple(map(str, frame)), list(frame.values())
        points = [point if point is not None else {} for point in points]
        yield _person(points, what, lost)[0], names
        return
    if isinstance(frame, dict) and frame and 'landmark' not in frame:
        keys = [key for key in KEYS[wanted] if key in frame]
        if rest := [key for key in frame if _OTHERS.match(key) and frame[key]]:
            lost['landmarks of a hand or a face dropped, because bodies are read'] += len(rest)
        if not keys:
            if any(key in frame for key in (*KEYS['world'], *KEYS['image'])) or frame_number(frame) is None:
                raise ValueError(f'{what} has no {wanted} landmarks ({", ".join(KEYS[wanted])})')
            return  # a numbered frame without persons
        frame = frame[keys[0]]
    if isinstance(frame, dict):
        frame = frame.get('landmark')
    if not frame:
        return
    if not isinstance(frame, list):
        raise ValueError(f'{what} is not a list of landmarks')
    first = frame[0]
    if isinstance(first, dict) and _is_named(first):  # several persons of TensorFlow.js
        for pose in frame:
            for one, names in _people(pose, what, wanted, lost) if isinstance(pose, dict) else ():
                yield one and one._replace(track=identity(pose.get('id'))), names
        return
    alone = isinstance(first, dict) and ('x' in first or not first) or is_numbers(first) and len(first) < 6
    for points in [frame] if alone or is_numbers(frame) else frame:
        yield _person(points.get('landmark') if isinstance(points, dict) else points, what, lost)


def _person(points, what: str, lost: Lost) -> tuple[Person | None, tuple[str, ...]]:
    """Return a person, or None if it is missing or unreadable, and the joint names."""
    try:
        return _landmarks(points, what, lost)
    except ValueError as error:
        lost[UNREADABLE + str(error).removeprefix(f'{what}: ')] += 1
        return None, ()


def _landmarks(points, what: str, lost: Lost) -> tuple[Person | None, tuple[str, ...]]:
    if not points:
        lost['persons without keypoints'] += 1
        return None, ()
    if not isinstance(points, list):
        raise ValueError(f'{what}: a person is not a list of landmarks')
    scores: list | None = None
    names: tuple[str, ...] = ()
    if is_numbers(points):
        width = 4 if len(points) % 33 == 0 and len(points) // 33 == 4 else 3
        if len(points) not in (99, 132):
            raise ValueError(f'{what}: {len(points)} numbers for a person, expected 33 times x, y, z[, visibility]')
        points = [points[i:i + width] for i in range(0, len(points), width)]
    if any(isinstance(point, dict) for point in points):
        points = [point if point is not None else {} for point in points]
        whole = next(point for point in points if isinstance(point, dict) and point) if any(points) else {}
        points, scores, names = from_dicts([point or dict.fromkeys(whole) for point in points], what)
    elif (rows := [point for point in points if is_numbers(point)]) and all(len(row) >= 4 for row in rows):
        scores = [point[3] if is_numbers(point) else None for point in points]
        points = [point[:3] if is_numbers(point) else point for point in points]
    if len(points) not in LAYOUTS:
        raise ValueError(f'{what}: a person with {len(points)} landmarks, expected 33, or 21 for a hand')
    if len(points) == 33 and any(point is not None and len(point) < 3 for point in points):
        raise ValueError(f'{what}: landmarks need x, y and z')
    one = person(points, what, lost, scores, hide=len(points) == 17)
    if one is None or one.points.shape[1] == 2:
        return one, names
    return _turn(one), names
