"""COCO's 17 keypoints in their usual forms: MMPose, Ultralytics, COCO results and annotations."""
import re
from collections import defaultdict

import numpy as np

from mmskelssl.datasets.importers.labels import natural
from mmskelssl.datasets.importers.pose.values import MAX_FRAMES, frame_list, numbers, plain, stack

_PEOPLE = ('people', 'persons', 'instances', 'predictions', 'annotations')


def coco_frames(data) -> list[np.ndarray]:
    """Persons (P,17,3) of each frame, from any of COCO's forms; a ValueError says what does not fit."""
    if isinstance(data, dict) and isinstance(data.get('annotations'), list):
        people, images = data['annotations'], data.get('images')
    elif isinstance(data, list) and data and isinstance(data[0], dict) and 'image_id' in data[0]:
        people, images = data, None
    else:
        frames = frame_list(data, 'frames', 'instance_info', *_PEOPLE)
        return [stack([_coco_person(person, i) for person in _people(frame, i)], 17)
                for i, frame in enumerate(frames)]
    order = _frames_of_images(people, images)
    frames = defaultdict(list)
    for i, person in enumerate(people):
        frames[order[str(person['image_id'])]].append(_coco_person(person, i))
    return [stack(frames[i], 17) for i in range(max(order.values()) + 1)]


def _people(frame, i: int) -> list:
    if isinstance(frame, dict):
        frame = next((frame[key] for key in _PEOPLE if key in frame), [frame] if 'keypoints' in frame else frame)
    if not isinstance(frame, list | None):
        raise ValueError(f'frame {i} is no list of persons, nor holds one under {", ".join(_PEOPLE)}')
    if frame and (plain(frame) or all(isinstance(point, list) and len(point) == 3 for point in frame)):
        return [frame]  # one person's joints
    return frame or []


def _coco_person(person, i: int) -> np.ndarray:
    what = f'frame {i}'
    points, scores = person, None
    if isinstance(person, dict):
        points, scores = person.get('keypoints'), person.get('keypoint_scores')
    if isinstance(points, dict):
        scores = points.get('visible', points.get('score'))
        points = numbers([points.get('x'), points.get('y')], what).T
    points = numbers(points, what)
    if scores is not None and points.size == 34 and (scores := numbers(scores, what)).size == 17:
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
