"""Spellings of joint names in the files of different programs."""
import re
from functools import lru_cache

Key = tuple[str, ...]

_WORDS = dict(l='left', r='right', center='centre', forefinger='index', handtip='hand tip', finger='')
# Layout -> name in a program's files -> joint of the layout.
_SYNONYMS: dict[str, dict[str, str]] = {
    'animal17': {f'{side}_{short}_paw': f'{side}_{long}_paw' for side in ('left', 'right')  # AP-10K, APT-36K
                 for short, long in (('f', 'front'), ('b', 'back'))},
    'azure32': dict(spine_naval='spine_navel'),  # the SDK's own spelling
    'h36m17': dict(root='hip_centre', left_foot='left_ankle', right_foot='right_ankle', neck_base='neck',  # MMPose
                   head='head_top'),
    'halpe26': dict(head='head_top', hip='hip_centre', rknee='right_knee'),  # MMPose, Halpe-FullBody
    'halpe136': dict(head='head_top', hip='hip_centre'),
    'hand21': {f'{finger}_{joint}': f'{finger}_{i}' for finger in ('thumb', 'index', 'middle', 'ring', 'pinky')
               for i, joint in enumerate(('cmc', 'mcp', 'ip', 'tip') if finger == 'thumb' else
                                         ('mcp', 'pip', 'dip', 'tip'), 1)},  # MediaPipe
    'ntu25': dict(spine_base='hip_centre', spine_mid='spine', spine_shoulder='shoulder_centre'),  # Kinect's SDK 2.0
    'openpose25': dict(mid_hip='hip_centre'),
    'panoptic19': dict(body_centre='hip_centre')}


def key_of(name: str, layout: str = '') -> Key:
    """Return a key that is equal for different spellings of a joint.

    ``left_shoulder``, ``LShoulder``, ``shoulder_l`` and ``leftShoulder`` are the same joint. With a layout, so are the
    names that programs give to its joints, such as OpenPose's ``MidHip`` for the ``hip_centre`` of ``openpose25``.
    """
    key = _key(name)
    return _synonyms(layout).get(key, key)


@lru_cache(maxsize=64)
def _synonyms(layout: str) -> dict[Key, Key]:
    return {_key(name): _key(joint) for name, joint in _SYNONYMS.get(layout, {}).items()}


def _key(name: str) -> Key:
    words = re.findall(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+', name.strip())
    words = ' '.join(_WORDS.get(word.lower(), word.lower()) for word in words).split()
    return tuple(sorted(word for word in words if word in ('left', 'right'))) + tuple(
        word for word in words if word not in ('left', 'right'))
