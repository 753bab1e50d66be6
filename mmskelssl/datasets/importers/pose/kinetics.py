"""Kinetics-skeleton, as published with ST-GCN: OpenPose's 18 joints, relative to the picture, with the class."""
from mmskelssl.datasets.importers.pose.contract import Clip, Lost, Options
from mmskelssl.datasets.importers.pose.values import frame_list, frame_number, ordered, person

PROGRAM = 'Kinetics-skeleton'
LAYOUTS = {18: 'coco18'}


def detects(content) -> str | None:
    data = content.get('data') if isinstance(content, dict) else None
    if isinstance(data, list) and data and all(isinstance(frame, dict) and 'skeleton' in frame for frame in data):
        return 'a Kinetics-skeleton clip'
    return None


def read(content, options: Options, lost: Lost) -> list[Clip]:
    frames = []
    for i, frame in enumerate(frame_list(content, 'data')):
        people = frame['skeleton']
        if not isinstance(people, list | None):
            raise ValueError(f'frame {i}: skeleton is not a list of persons')
        found = [person(one.get('pose') if isinstance(one, dict) else None, f'frame {i}', lost,
                        one.get('score') if isinstance(one, dict) else None, joints=18) for one in people or []]
        frames.append((frame_number(frame), [one for one in found if one]))
    label = content.get('label')
    return [Clip(ordered(frames, lost), label=label if isinstance(label, str) and label else None)]
