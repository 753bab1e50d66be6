"""What pose estimators write as JSON: MediaPipe, OpenPose BODY_25, and COCO's 17 keypoints in their usual forms."""
import json
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import Labels, check_share, natural, set_splits
from mmskelssl.datasets.importers.source import Source, stem, text_of
from mmskelssl.datasets.pose_tracking import track_persons
from mmskelssl.datasets.store_writer import StoreWriter
from mmskelssl.errors import UserError

MAX_BYTES, MAX_FRAMES = 64 << 20, 100_000
_OPENPOSE = re.compile(r'(.*?)_?(\d+)_keypoints\.json', re.IGNORECASE)
_PEOPLE = ('people', 'persons', 'instances', 'predictions', 'annotations')
_LANDMARKS = dict(world=('pose_world_landmarks', 'poseWorldLandmarks', 'worldLandmarks'),
                  image=('pose_landmarks', 'poseLandmarks', 'landmarks'))


def import_pose_json(path: str, writer: StoreWriter, *, layout: Literal['coco17', 'mediapipe33', 'openpose25'],
                     persons: int = 2, landmarks: Literal['world', 'image'] = 'world', scores: bool = False,
                     labels: str = 'auto', test_share: float = 0.2, seed: int = 0, jobs: int | None = None) -> None:
    """Folder or zip of pose estimators' JSON: MediaPipe's, OpenPose's, or COCO's 17 keypoints in many forms.

    coco17 (one file per clip) and openpose25 (one folder per clip, or a prefix of file names, with one file per frame):
    channels x, y in pixels, y down. mediapipe33 (one file per clip): x, y, z, turned so that y is up and z leads away
    from the camera. Persons are matched from frame to frame, the nearest first; joints and persons that are not seen
    are zeros.

    COCO's forms: a list of frames, or a dict with the list "frames" or "instance_info" (MMPose); a frame is a list of
    persons, or a dict that holds it as "people", "persons", "instances" or "predictions"; a person is 17 (x, y, score),
    flat or not, alone or as "keypoints", with "keypoint_scores" beside 17 (x, y), or with lists "x", "y", "visible"
    (Ultralytics). Or COCO's results and annotations, a flat list with an "image_id" each, whose number is the frame's.
    MediaPipe's: a list of frames, a frame being one person's 33 landmarks or a list of such, under MediaPipe's names
    for them or not, null or empty where nobody was found.

    Args:
        layout: Which estimator wrote them.
        persons: Persons kept, those who show most.
        landmarks: Of MediaPipe, world (metres from the middle of the hips) or image (shares of the picture).
        scores: Keep the scores of 2D joints as third channel, for views of your own: ours would take it for depth.
        labels: Where labels are: "folders" (the folder of each clip), "none", or a csv file with a header and the
            columns name, label, subject, split, of which only name is required; "auto" takes labels.csv among the
            files, else folders where there are several.
        test_share: Share of each class in the test split where no split is given; the rest is train.
        seed: Of that choice.
        jobs: Number of processes; default one per core.
    """
    check_share(test_share)
    if persons < 1:
        raise UserError(f'--persons {persons} must be 1 or more')
    source = Source(path)
    _openpose_clips.cache_clear()  # the folder may have changed since
    if layout == 'openpose25':
        clips = {first: clip for first, (clip, _) in _openpose_clips(source.path).items()}
    else:
        clips = {name: name for name in source.files('.json')}
    if not clips:
        what = 'files NAME_NUMBER_keypoints.json' if layout == 'openpose25' else '.json files'
        raise UserError(f'{path}: no {what} in it')
    about = Labels(source, list(clips.values()), labels)
    writer.index['classes'] = about.classes
    flat = layout != 'mediapipe33'
    units = 'px' if flat else 'm' if landmarks == 'world' else 'image'
    writer.describe(layout, 2 if flat and not scores else 3, units)
    import_files(source, clips, _Clips(source, layout, persons, landmarks, about, writer.channels), writer, jobs)
    about.report_lost(writer)
    set_splits(writer, test_share, seed)


class _Clips:
    """Reads a clip, by the name of its first file."""

    def __init__(self, source: Source, layout: str, persons: int, landmarks: str, about: Labels, channels: int):
        self.source, self.layout, self.persons, self.landmarks = source, layout, persons, landmarks
        self.about, self.channels = about, channels

    def __call__(self, name: str, data: bytes) -> list[dict]:
        clip = name
        if self.layout == 'openpose25':
            clip, files = _openpose_clips(self.source.path)[name]
            frames = (_openpose_frame(_parse(self.source.read(file)), file) for file in files)
        elif self.layout == 'coco17':
            frames = coco_frames(_parse(data))
        else:
            frames = mediapipe_frames(_parse(data), self.landmarks)
        keypoints = track_persons(frames, self.persons, scores=self.layout != 'mediapipe33')
        keypoints = keypoints[..., :self.channels]
        return [dict(name=self.about.names[clip], keypoints=keypoints) | self.about.of(clip)]


def _parse(data: bytes):
    if len(data) > MAX_BYTES:
        raise ValueError(f'it has {len(data) >> 20} MiB')
    try:
        return json.loads(text_of(data))
    except RecursionError:
        raise ValueError('nested too deeply') from None
    except json.JSONDecodeError as error:
        raise ValueError(f'no JSON: {error}') from None


def _array(values, what: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f'{what}: not numbers, or rows of different lengths') from None
    if not (np.abs(array) < 1e9).all():
        raise ValueError(f'{what}: NaN, Inf or a number beyond all pictures')
    return array


def _frame_list(data, *keys: str) -> list:
    if isinstance(data, dict):
        data = next((data[key] for key in keys if key in data), None)
    if not isinstance(data, list) or not 0 < len(data) <= MAX_FRAMES:
        raise ValueError(f'no list of 1 to {MAX_FRAMES} frames, nor one under {" or ".join(keys)}')
    return data


# --- COCO ------------------------------------------------------------------------------------------------------------

def coco_frames(data) -> list[np.ndarray]:
    """Persons (P,17,3) of each frame, from any of COCO's forms; a ValueError says what does not fit."""
    if isinstance(data, dict) and isinstance(data.get('annotations'), list):
        people, images = data['annotations'], data.get('images')
    elif isinstance(data, list) and data and isinstance(data[0], dict) and 'image_id' in data[0]:
        people, images = data, None
    else:
        frames = _frame_list(data, 'frames', 'instance_info', *_PEOPLE)
        return [_stack([_coco_person(person, i) for person in _people(frame, i)], 17)
                for i, frame in enumerate(frames)]
    order = _frames_of_images(people, images)
    frames = defaultdict(list)
    for i, person in enumerate(people):
        frames[order[str(person['image_id'])]].append(_coco_person(person, i))
    return [_stack(frames[i], 17) for i in range(max(order.values()) + 1)]


def _people(frame, i: int) -> list:
    if isinstance(frame, dict):
        frame = next((frame[key] for key in _PEOPLE if key in frame), [frame] if 'keypoints' in frame else frame)
    if not isinstance(frame, list | None):
        raise ValueError(f'frame {i} is no list of persons, nor holds one under {", ".join(_PEOPLE)}')
    if frame and (_plain(frame) or all(isinstance(point, list) and len(point) == 3 for point in frame)):
        return [frame]  # one person's joints
    return frame or []


def _coco_person(person, i: int) -> np.ndarray:
    what = f'frame {i}'
    points, scores = person, None
    if isinstance(person, dict):
        points, scores = person.get('keypoints'), person.get('keypoint_scores')
    if isinstance(points, dict):
        scores = points.get('visible', points.get('score'))
        points = _array([points.get('x'), points.get('y')], what).T
    points = _array(points, what)
    if scores is not None and points.size == 34 and (scores := _array(scores, what)).size == 17:
        points = np.concatenate([points.reshape(17, 2), scores.reshape(17, 1)], 1)
    if points.size != 51:
        raise ValueError(f'{what}: {points.size} numbers of a person, expected 17 x (x, y, score)')
    return points.reshape(17, 3)


def _frames_of_images(people: list, images) -> dict[str, int]:
    """Frame of each image id: its place among ``images`` by file name, else the number in it, counted from the first.

    Numbers that are missing in between are frames in which nobody was found.
    """
    if not people or not all(isinstance(person, dict) and 'image_id' in person for person in people):
        raise ValueError('annotations without an image_id')
    ids = {str(person['image_id']) for person in people}
    if isinstance(images, list) and images:
        if not all(isinstance(image, dict) and 'id' in image for image in images):
            raise ValueError('images without an id')
        key = {str(image['id']): natural(str(image.get('file_name', image['id']))) for image in images}
        if not ids <= set(key):
            raise ValueError(f'image_id {min(ids - set(key))[:40]!r} is none of the images')
        return {name: i for i, name in enumerate(sorted(key, key=key.get))}
    digits = {name: re.findall(r'\d{1,15}', re.sub(r'\.[a-z]\w*$', '', name)) for name in ids}
    if not all(digits.values()):
        raise ValueError('an image_id without a number: which frame is it?')
    number = {name: int(found[-1]) for name, found in digits.items()}
    first = min(number.values())
    if max(number.values()) - first >= min(MAX_FRAMES, 10 * len(ids) + 100):
        raise ValueError('the image ids are no numbers of frames: they lie too far apart')
    return {name: n - first for name, n in number.items()}


def _stack(people: list[np.ndarray], joints: int) -> np.ndarray:
    """(P,V,3) with unseen joints (score 0 or less) at zero."""
    people = np.stack(people) if people else np.zeros((0, joints, 3))
    return np.where(people[..., 2:] > 0, people, 0)


# --- OpenPose --------------------------------------------------------------------------------------------------------

@lru_cache(maxsize=1)
def _openpose_clips(path: str) -> dict[str, tuple[str, list[str]]]:
    """{first file: (clip, its files by frame number)}; a folder whose files have one prefix gives the clip its name.

    Each process lists them once, as there may be millions.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for file in Source(path).files('_keypoints.json'):
        match = _OPENPOSE.fullmatch(PurePosixPath(file).name)
        if match:
            groups[PurePosixPath(file).parent][match[1]].append(file)
    clips = {}
    for folder, prefixes in sorted(groups.items()):
        for prefix, files in sorted(prefixes.items()):
            alone = len(prefixes) == 1 and folder.name
            files.sort(key=natural)
            clips[files[0]] = f'{folder if alone else folder / (prefix or "clip")}.json', files
    return clips


def _openpose_frame(data, file: str) -> np.ndarray:
    people = data.get('people') if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise ValueError(f'{stem(file)}: no list of people')
    joints = []
    for person in people:
        points = _array(person.get('pose_keypoints_2d') if isinstance(person, dict) else None, stem(file))
        if points.size != 75:
            raise ValueError(f'{stem(file)}: {points.size} numbers of a person, expected 75 (BODY_25)')
        joints.append(points.reshape(25, 3))
    return _stack(joints, 25)


# --- MediaPipe -------------------------------------------------------------------------------------------------------

def mediapipe_frames(data, landmarks: str) -> list[np.ndarray]:
    """Persons (P,33,3) of each frame, y up, z away from the camera; a ValueError says what does not fit."""
    return [_mediapipe_frame(frame, f'frame {i}', landmarks)
            for i, frame in enumerate(_frame_list(data, 'frames', 'results'))]


def _mediapipe_frame(frame, what: str, landmarks: str) -> np.ndarray:
    if isinstance(frame, dict) and frame and 'landmark' not in frame:
        keys = [key for key in _LANDMARKS[landmarks] if key in frame]
        if not keys:
            raise ValueError(f'{what} has no {landmarks} landmarks ({", ".join(_LANDMARKS[landmarks])})')
        frame = frame[keys[0]]
    if isinstance(frame, dict) and 'landmark' in frame:
        frame = frame['landmark']
    if not frame:
        return np.zeros((0, 33, 3))
    if not isinstance(frame, list):
        raise ValueError(f'{what} is no list of landmarks')
    first, people = frame[0], []
    if isinstance(first, dict) and 'x' in first or isinstance(first, list) and _plain(first):
        frame = [frame]
    for points in frame:
        points = points.get('landmark') if isinstance(points, dict) else points
        if not isinstance(points, list) or len(points) != 33:
            raise ValueError(f'{what}: a person is no list of 33 landmarks')
        points = [[point.get(key) for key in 'xyz'] if isinstance(point, dict) else point for point in points]
        points = _array(points, what)
        if points.ndim != 2 or points.shape[1] < 3:
            raise ValueError(f'{what}: landmarks need x, y and z')
        people.append(points[:, :3] * (-1, -1, 1))  # a half turn: MediaPipe's y leads down, its x to the right
    return np.stack(people)


def _plain(values: list) -> bool:
    return all(isinstance(value, int | float) for value in values)
