"""COCO results and annotations (also PoseTrack, AlphaPose and PoseFlow): persons with the picture that shows them.

One file may hold several videos. They are distinguished by ``video_id`` or ``vid_id``, or else by the folder and the
name before the number in ``image_id`` or ``file_name``.
"""
from collections import defaultdict
from pathlib import PurePosixPath

from mmskelssl.datasets.importers.labels import natural
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import in_order, person_of, picture_place

PROGRAM = 'COCO'
LAYOUTS = {17: 'coco17', 26: 'halpe26', 133: 'coco_wholebody133', 136: 'halpe136'}


def detects(content) -> str | None:
    if isinstance(content, dict) and isinstance(content.get('annotations'), list) and 'images' in content:
        return 'COCO annotations' + (' of PoseTrack' if _is_posetrack(content) else '')
    if isinstance(content, list) and content and all(isinstance(found, dict) for found in content):
        if any('image_id' in found for found in content):
            alpha = any('idx' in found or 'box' in found for found in content)
            return 'AlphaPose results' if alpha or isinstance(content[0].get('image_id'), str) else 'COCO results'
    if _is_poseflow(content):
        return 'PoseFlow results of AlphaPose'
    return None


def read(content, options: Options, lost: Lost) -> list[Clip]:
    if _is_poseflow(content):
        content = [dict(found, image_id=name) if isinstance(found, dict) else found
                   for name, people in content.items() for found in people or []]
    if isinstance(content, dict):
        return _annotations(content, options, lost)
    clips = defaultdict(list)
    for found in content:
        if not isinstance(found, dict) or not isinstance(found.get('image_id'), int | str):
            raise ValueError('annotations without an image_id')
        clip, number = _place(found.get('video_id', found.get('vid_id')), str(found['image_id']))
        if number is None:
            raise ValueError(f'image_id {found["image_id"]!r:.40} does not contain a frame number')
        one = person_of(found, f'image_id {str(found["image_id"])[:40]}', lost, options.joints)
        clips[clip].append((number, [one] if one else []))
    return [Clip(in_order(frames), name if len(clips) > 1 else '') for name, frames in sorted(clips.items())]


def _annotations(content: dict, options: Options, lost: Lost) -> list[Clip]:
    images = content.get('images')
    if not isinstance(images, list) or not images or not all(
            isinstance(image, dict) and isinstance(image.get('id'), int | str) for image in images):
        raise ValueError('images without an id')
    names, people, clips = joint_names(content), defaultdict(list), defaultdict(list)
    known = {image['id'] for image in images}
    for found in content['annotations']:
        image = found.get('image_id') if isinstance(found, dict) else None
        if not isinstance(image, int | str):
            raise ValueError('annotations without an image_id')
        if image not in known:
            raise ValueError(f'image_id {str(image)[:40]!r} is not in the list of images')
        if one := person_of(found, f'image_id {str(image)[:40]}', lost, options.joints):
            people[image].append(one)
    for image in images:
        video = image.get('video_id', image.get('vid_id'))
        name = str(image.get('file_name', image['id']))
        clips[_place(video, name)[0]].append((natural(name), image))
    sizes = {clip: {(image.get('width'), image.get('height')) for _, image in found} for clip, found in clips.items()}
    if mixed := [clip for clip, found in sizes.items() if len(found) > 1]:
        raise ValueError(f'pictures of {len(sizes[mixed[0]])} sizes: these are single pictures, not the frames of a '
                         'video')
    return [Clip([people[image['id']] for _, image in sorted(found, key=lambda entry: entry[0])],
                 clip if len(clips) > 1 else '', names) for clip, found in sorted(clips.items())]


def joint_names(content: dict) -> tuple[str, ...]:
    """Return the keypoint names in ``categories``. All categories with annotations must agree."""
    categories = content.get('categories')
    used = {found.get('category_id') for found in content['annotations'] if isinstance(found, dict) and found.get(
        'keypoints') and isinstance(found.get('category_id'), int | str)}
    if isinstance(categories, list) and used:
        categories = [category for category in categories if isinstance(category, dict) and isinstance(
            category.get('id', 0), int | str) and category.get('id') in {*used, None}]
    found = [category['keypoints'] for category in categories if isinstance(category, dict) and isinstance(
        category.get('keypoints'), list)] if isinstance(categories, list) else []
    if any(names != found[0] for names in found):
        raise ValueError('its categories have different keypoints: keep the annotations of one category in the file')
    return tuple(map(str, found[0])) if found else ()


def _place(video, name: str) -> tuple[str, int | None]:
    """Return (clip, frame number) of a picture."""
    clip, number = picture_place(name)
    return (str(video) if isinstance(video, int | str) else clip), number


def _is_posetrack(content: dict) -> bool:
    images = content['images']
    return isinstance(images, list) and bool(images) and isinstance(images[0], dict) and 'vid_id' in images[0]


def _is_poseflow(content) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    name, people = next(iter(content.items()))
    return PurePosixPath(name).suffix.lower() in ('.jpg', '.jpeg', '.png', '.bmp') and all(
        isinstance(found, list | None) for found in content.values())
