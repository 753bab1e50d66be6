"""OpenPose: one JSON file a frame, BODY_25."""
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np

from mmskelssl.datasets.importers.labels import natural
from mmskelssl.datasets.importers.pose.values import numbers, stack
from mmskelssl.datasets.importers.source import Source, stem

_OPENPOSE = re.compile(r'(.*?)_?(\d+)_keypoints\.json', re.IGNORECASE)


@lru_cache(maxsize=1)
def openpose_clips(path: str) -> dict[str, tuple[str, list[str]]]:
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


def openpose_frame(data, file: str) -> np.ndarray:
    people = data.get('people') if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise ValueError(f'{stem(file)}: no list of people')
    joints = []
    for person in people:
        points = numbers(person.get('pose_keypoints_2d') if isinstance(person, dict) else None, stem(file))
        if points.size != 75:
            raise ValueError(f'{stem(file)}: {points.size} numbers of a person, expected 75 (BODY_25)')
        joints.append(points.reshape(25, 3))
    return stack(joints, 25)
