"""OpenPose: one JSON file a picture, or ControlNet's list of pictures in one file."""
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import person

PROGRAM = 'OpenPose'
LAYOUTS = {25: 'openpose25', 18: 'coco18'}
_POINTS = ('pose_keypoints_2d', 'pose_keypoints')


def detects(content) -> str | None:
    pictures = content if isinstance(content, list) else [content]
    if not pictures or not all(isinstance(p, dict) and isinstance(p.get('people'), list) for p in pictures):
        return None
    people = [found for picture in pictures for found in picture['people'] if isinstance(found, dict)]
    if not any(key in found for found in people for key in _POINTS):
        said = any(key in pictures[0] for key in ('version', 'part_candidates', 'canvas_width'))
        return 'OpenPose without anybody' if said and not people else None
    return "ControlNet's list of OpenPose pictures" if isinstance(content, list) else 'an OpenPose picture'


def read(content, options: Options, lost: Lost) -> list[Clip]:
    frames = []
    for i, picture in enumerate(content if isinstance(content, list) else [content]):
        people, what = [], f'frame {i}'
        for found in picture['people']:
            points = next((found[key] for key in _POINTS if key in found), None) if isinstance(found, dict) else None
            if isinstance(points, list) and not any(points):
                points = None  # OpenPose writes zeros, or an empty list, where it finds a face or a hand alone
            track = found.get('person_id') if isinstance(found, dict) else None
            track = track[0] if isinstance(track, list) and track and type(track[0]) is int else None
            people.append(person(points, what, lost, track=None if track == -1 else track, joints=options.joints))
        frames.append([one for one in people if one])
    return [Clip(frames)]
