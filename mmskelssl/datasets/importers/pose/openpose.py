"""OpenPose: one JSON file per picture, or ControlNet's list of pictures in one file."""
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import person

PROGRAM = 'OpenPose'
LAYOUTS = {25: 'openpose25', 18: 'coco18', 21: 'hand21'}
_POINTS = ('pose_keypoints_2d', 'pose_keypoints')
_IN_3D = 'pose_keypoints_3d'
_HANDS = ('hand_left_keypoints_2d', 'hand_right_keypoints_2d')


def detects(content) -> str | None:
    pictures = content if isinstance(content, list) else [content]
    if not pictures or not all(isinstance(p, dict) and isinstance(p.get('people'), list) for p in pictures):
        return None
    people = [found for picture in pictures for found in picture['people'] if isinstance(found, dict)]
    if not any(key in found for found in people for key in (*_POINTS, *_HANDS)):
        said = any(key in pictures[0] for key in ('version', 'part_candidates', 'canvas_width'))
        return 'OpenPose without anybody' if said and not people else None
    return "ControlNet's list of OpenPose pictures" if isinstance(content, list) else 'an OpenPose picture'


def read(content, options: Options, lost: Lost) -> list[Clip]:
    frames = []
    for i, picture in enumerate(content if isinstance(content, list) else [content]):
        people, what = [], f'frame {i}'
        for found in picture['people']:
            found = found if isinstance(found, dict) else {}  # counted below as a person without keypoints
            track = found.get('person_id')
            track = track[0] if isinstance(track, list) and track and type(track[0]) is int else None
            track = None if track == -1 else track
            for key in _HANDS if options.hands else [next((key for key in _POINTS if key in found), '')]:
                points = found.get(key)
                if not points and isinstance(found.get(_IN_3D), list) and any(found[_IN_3D]):
                    lost[f'persons with {_IN_3D} only, which is not read'] += 1
                    continue
                if isinstance(points, list) and not any(points):
                    points = None  # OpenPose writes zeros or an empty list for bodies and hands that it does not detect
                name = f'{track} {key.split("_")[1]}' if options.hands and track is not None else track
                people.append(person(points, what, lost, track=name, joints=21 if options.hands else options.joints))
        frames.append([one for one in people if one])
    return [Clip(frames)]
