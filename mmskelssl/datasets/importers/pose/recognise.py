"""Identifies the program that wrote a file by its fields. Errors name the content and the most similar format."""
import re
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from mmskelssl.datasets.importers.pose import bodies, coco, instances, kinetics, mediapipe, openpose, yolo
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import UNREADABLE, in_order, parse
from mmskelssl.datasets.importers.table import read_table
from mmskelssl.datasets.importers.table_clips import table_clips
from mmskelssl.datasets.importers.text import any_text

READERS: list[ModuleType] = [openpose, kinetics, bodies, coco, mediapipe, instances, yolo]
CROWD = 8
TABLES = ('.csv', '.tsv', '.txt')
ENDINGS = ('.json', '.jsonl', '.ndjson', *TABLES)
_FIELDS = {
    'OpenPose': {'people', 'pose_keypoints_2d', 'version'},
    'Kinetics-skeleton': {'data', 'frame_index', 'skeleton', 'pose'},
    'COCO or AlphaPose': {'image_id', 'category_id', 'keypoints', 'annotations', 'images'},
    'MMPose': {'instance_info', 'instances', 'keypoints', 'keypoint_scores', 'frame_id', 'predictions'},
    'Ultralytics': {'name', 'class', 'confidence', 'box', 'keypoints'},
    'MediaPipe': {'landmarks', 'worldLandmarks', 'poseLandmarks', 'poseWorldLandmarks', 'pose_landmarks',
                  'pose_world_landmarks', 'landmark', 'visibility'},
    'TensorFlow.js': {'keypoints', 'keypoints3D', 'score', 'name'},
    'CMU Panoptic': {'bodies', 'joints19', 'univTime'},
    'Azure Kinect': {'frames', 'bodies', 'body_id', 'joint_positions'},
    'Toyota Smarthome': {'njts', 'frames', 'pose3d'}}


class Found(NamedTuple):
    """Result of the recognition of a file.

    Args:
        what: Description.
        clips: Clips of the file.
        layouts: Number of joints -> layout.
        lost: Dropped content.
        sure: False for lists of persons or numbers that could be one picture or several frames.
    """
    what: str
    clips: list[Clip]
    layouts: dict[int, str]
    lost: Lost
    sure: bool = True


def recognise(name: str, data: bytes, options: Options) -> Found:
    """Read a file. Raises a ValueError for an unknown format."""
    lost: Lost = Counter()
    if name.lower().endswith(TABLES):
        text = any_text(data)
        if not text.strip():
            return Found('an empty file', [Clip([[]])], {}, lost)
        if yolo.detects(text):
            return Found(yolo.detects(text) or '', _readable(yolo.read(text, options, lost), lost), yolo.LAYOUTS, lost)
        clips = [mediapipe.turned(clip, options) for clip in table_clips(
            read_table(text, options.joints), options.joints, lost)]
        return Found('a table of coordinates', clips, mediapipe.LAYOUTS | instances.LAYOUTS | {25: 'openpose25'}, lost)
    if not data.strip():
        return Found('an empty file', [Clip([[]])], {}, lost)
    content = by_number(parse(data))
    for reader in READERS:
        if what := reader.detects(content):
            clips = _readable(reader.read(content, options, lost), lost)
            return Found(what, clips, reader.LAYOUTS, lost, not ('picture of' in what and len(clips[0].frames[0]) > 1))
    if not content or isinstance(content, list) and not any(content) or isinstance(content, dict) and not any(
            isinstance(value, list | dict) and value for value in content.values()) and set(content) & {
            'people', 'instances', 'predictions', 'annotations', 'landmarks'}:
        return Found('an empty file', [Clip([[]])], {}, lost)
    raise ValueError(f'{outline(content)}: not a known format{_nearest(content)}')


def _readable(clips: list[Clip], lost: Lost) -> list[Clip]:
    """Accept a few unreadable persons. Raises a ValueError if most are unreadable."""
    bad = {reason: count for reason, count in lost.items() if reason.startswith(UNREADABLE)}
    if bad and sum(bad.values()) >= sum(len(people) for clip in clips for people in clip.frames):
        raise ValueError(max(bad, key=lambda reason: bad[reason]))
    return clips


def by_number(content):
    """Frames under their numbers (``{"0": ..., "1": ...}``, ``frame_0``) as an ordered list. Others unchanged."""
    if not isinstance(content, dict) or len(content) < 2:
        return content
    matches = [re.fullmatch(r'(|frame|image|img|f)[ _-]?(\d{1,15})', str(key), re.IGNORECASE) for key in content]
    if len({match and match[1] for match in matches}) > 1 or None in matches or not all(
            isinstance(value, list | dict | None) and not _is_crowd(value) for value in content.values()):
        return content
    numbers = [int(match[2]) for match in matches if match]
    if len(set(numbers)) < len(numbers):
        return content
    return [found[0] if found else None for found in in_order(
        [(number, [value]) for number, value in zip(numbers, content.values(), strict=True)])]


def _is_crowd(value) -> bool:
    """Return whether a list has more entries than a usual frame has persons, so that they are frames of one person."""
    first = value[0] if isinstance(value, list) and len(value) > CROWD else None
    return isinstance(first, dict) and 'keypoints' in first or isinstance(first, list) and bool(first) and isinstance(
        first[0], list)


def outline(content) -> str:
    """Describe a JSON value briefly."""
    if isinstance(content, dict):
        return f'a dict with the keys {", ".join(map(str, list(content)[:8]))}'[:120]
    if isinstance(content, list):
        inner = next((part for part in content if part), None)
        return f'a list of {len(content)}, ' + (f'with {outline(inner)}' if isinstance(inner, dict | list) else
                                               f'such as {str(inner)[:20]!r}')
    return f'{type(content).__name__} {str(content)[:20]!r}'


def _nearest(content) -> str:
    keys = set(_keys(content))
    near = sorted(_FIELDS, key=lambda name: -len(_FIELDS[name] & keys))
    near = [f'{name} ({", ".join(sorted(_FIELDS[name] & keys))})' for name in near[:2] if _FIELDS[name] & keys]
    return f'; the most similar: {" and ".join(near)}' if near else f'; known are {", ".join(_FIELDS)}'


def _keys(content, depth: int = 0) -> Iterator[str]:
    if isinstance(content, dict):
        yield from map(str, content)
        content = list(content.values())
    if isinstance(content, list) and depth < 6:
        for part in content[:20]:
            yield from _keys(part, depth + 1)
