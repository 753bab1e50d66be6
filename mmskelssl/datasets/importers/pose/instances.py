"""Lists of persons or of frames: MMPose, Ultralytics, OpenPifPaf, ViTPose, and plain nested lists."""
from collections.abc import Callable

from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options, Person
from mmskelssl.datasets.importers.pose.values import (
    PEOPLE_KEYS,
    SCORE_KEYS,
    frame_list,
    frame_number,
    is_numbers,
    numbers,
    ordered,
    person,
    person_of,
    same_joints,
)

PROGRAM = 'MMPose, Ultralytics or OpenPifPaf'
LAYOUTS = {17: 'coco17', 26: 'halpe26', 133: 'coco_wholebody133', 136: 'halpe136', 18: 'coco18', 21: 'hand21'}
_FRAMES = ('frames', 'instance_info', 'predictions', *PEOPLE_KEYS)


def detects(content) -> str | None:
    content = _frames_of_numbers(content)
    if _is_vitpose(content):
        return 'ViTPose results'
    if _is_movenet(content):
        return 'output tensors of MoveNet (y before x)'
    found = _a_person(content)
    if found is None:
        return 'nested lists of numbers' if _depth(content) else None
    what = 'a picture of ' if _is_picture(content) else ''
    if isinstance(found.get('keypoints'), dict):
        return what + 'Ultralytics results'
    if any(key in found for key in SCORE_KEYS) or isinstance(content, dict) and 'instance_info' in content:
        return what + 'MMPose predictions'
    if 'bbox' in found and 'category_id' in found:
        return what + 'OpenPifPaf predictions'
    return what + 'persons with keypoints'


def read(content, options: Options, lost: Lost) -> list[Clip]:
    if _is_vitpose(content):
        return _vitpose(content, lost)

    content = _frames_of_numbers(content)
    if _is_movenet(content):
        content = [[[[x, y, score] for y, x, score in frame[0][0]]] if frame else None for frame in content]

    def read_person(found, what: str) -> Person | None:
        return person_of(found, what, lost, options.joints)

    numbers_alone = _a_person(content) is None and options.files == 'pictures'
    if numbers_alone or _is_picture(content) and options.files != 'clips':
        people, names = same_joints([_people(content, 'the picture', read_person)], lost)
        return [Clip(people, joints=_names(content) or names)]
    frames = []
    for i, frame in enumerate(_nested(frame_list(content, *_FRAMES))):
        number = frame_number(frame)
        frames.append((number, _people(frame, f'frame {i}', read_person)))
    most = max((len(people) for _, people in frames), default=0)
    if _a_person(content) is None and most > max(2, len(frames)):
        raise ValueError(f'nested lists of {len(frames)} frames, with up to {most} persons: are these frames of '
                         f'{len(frames)} persons? `arrays` takes them, with --axes MTVC')
    in_time, names = same_joints(ordered(frames, lost), lost)
    return [Clip(in_time, joints=_names(content) or names)]


def _frames_of_numbers(content):
    """``{"keypoints": [frame][joint][x, y], "scores": [frame][joint]}`` as a list of frames. Others unchanged."""
    frames = content.get('keypoints') if isinstance(content, dict) else None
    depth = _depth(content) if isinstance(frames, list) and len(frames) > 1 else 0
    if depth < 3:
        return content
    scores = next((content[key] for key in (*SCORE_KEYS, 'scores') if content.get(key) is not None), None)
    if depth > 3 or scores is None:
        return frames
    if not isinstance(scores, list) or len(scores) != len(frames):
        raise ValueError(f'{len(frames)} frames, but scores of {len(scores) if isinstance(scores, list) else "none"}')
    return [[dict(keypoints=points, keypoint_scores=score)] for points, score in zip(frames, scores, strict=True)]


def _nested(frames: list) -> list:
    """Remove the extra list around the frames of one input, written by MMPose's inferencer."""
    if len(frames) == 1 and isinstance(frames[0], list) and frames[0] and all(
            isinstance(frame, list) and frame and isinstance(frame[0], dict) for frame in frames[0]):
        return frames[0]
    return frames


def _people(frame, what: str, read_person: Callable) -> list[Person]:
    if isinstance(frame, dict):
        frame = next((frame[key] for key in PEOPLE_KEYS if key in frame), [frame] if 'keypoints' in frame else frame)
    if not isinstance(frame, list | None):
        raise ValueError(f'{what} is not a list of persons, and does not contain one under {", ".join(PEOPLE_KEYS)}')
    if isinstance(frame, list) and all(one is None for one in frame):
        frame = []
    if frame and (is_numbers(frame) or all(is_numbers(point) and len(point) < 5 or point is None for point in frame)):
        frame = [frame]  # joints of one person
    found = [read_person(one, what) for one in frame or []]
    return [one for one in found if one]


def _is_picture(content) -> bool:
    """Return whether a list contains persons rather than frames."""
    if isinstance(content, dict) and 'keypoints' in content and not isinstance(content['keypoints'], str):
        return True
    return isinstance(content, list) and bool(content) and all(
        isinstance(found, dict) and frame_number(found) is None and not any(key in found for key in PEOPLE_KEYS)
        for found in content) and any('keypoints' in found for found in content)


def _a_person(content, depth: int = 0) -> dict | None:
    """Return the first dict with keypoints."""
    if isinstance(content, dict):
        if 'keypoints' in content:
            return content
        content = [content[key] for key in _FRAMES if key in content]
    if depth > 5 or not isinstance(content, list):
        return None
    return next((found for part in content[:1000] if (found := _a_person(part, depth + 1))), None)


def _depth(content) -> int:
    """Return the nesting depth of lists of numbers, or 0 for anything else."""
    if isinstance(content, dict):
        content = next((content[key] for key in ('frames', 'keypoints') if key in content), None)
    depth = 0
    while isinstance(content, list) and content:
        content, depth = next((part for part in content if part is not None and part != []), None), depth + 1
    return depth if isinstance(content, int | float) and depth > 1 else 0


def _names(content) -> tuple[str, ...]:
    """Return the joint names in MMPose's ``meta_info``."""
    meta = content.get('meta_info') if isinstance(content, dict) else None
    names = meta.get('keypoint_id2name') if isinstance(meta, dict) else None
    if isinstance(names, dict) and all(key.isdecimal() and len(key) < 5 for key in names):
        return tuple(str(names[key]) for key in sorted(names, key=int))
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _is_movenet(content) -> bool:
    """Return whether each frame is a tensor (1, 1, 17, 3) of y, x, score in shares of the picture."""
    frames = [frame for frame in content if frame] if isinstance(content, list) else []
    for frame in frames:
        for size in (1, 1, 17):
            if not isinstance(frame, list) or len(frame) != size:
                return False
            rows, frame = frame, frame[0]
        if not all(is_numbers(row) and len(row) == 3 and all(value is not None and -.5 < value < 1.5 for value in row)
                   for row in rows):
            return False
    return bool(frames)


def _is_vitpose(content) -> bool:
    frames = content.get('keypoints') if isinstance(content, dict) else None
    return isinstance(frames, list) and 'skeleton' in content and all(isinstance(frame, dict) for frame in frames)


def _vitpose(content: dict, lost: Lost) -> list[Clip]:
    """Read easy_ViTPose: a frame is a dict of identity -> rows y, x, score. ``skeleton`` names the joints."""
    frames = []
    for i, frame in enumerate(frame_list(content, 'keypoints')):
        people = []
        for track, rows in frame.items():
            rows = numbers(rows, f'frame {i}') if rows else None
            if rows is not None and (rows.ndim != 2 or rows.shape[1] != 3):
                raise ValueError(f'frame {i}: a person of shape {rows.shape}, expected rows of y, x, score')
            people.append(person(None if rows is None else rows[:, [1, 0]].tolist(), f'frame {i}', lost,
                                 None if rows is None else rows[:, 2].tolist(), track))
        frames.append([one for one in people if one])
    names = content['skeleton']
    if isinstance(names, dict) and all(key.isdecimal() and len(key) < 5 for key in names):
        names = [names[key] for key in sorted(names, key=int)]
    return [Clip(frames, joints=tuple(map(str, names)) if isinstance(names, list) else ())]
