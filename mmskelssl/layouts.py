"""Skeleton layouts: the one place where joint indices are written down.

A layout names its joints and says how they hang together. Backbones, streams, augmentations, mixing and drawing
all read it from here, so a new kind of skeleton is a new layout (a dict in a config will do) and nothing else.
"""
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmskelssl.errors import UserError


@dataclass(frozen=True)
class SkeletonLayout:
    """A tree of joints.

    Args:
        name: Name under which stores and configs refer to it.
        joints: Joint names; their order is the order of the V axis.
        parents: Parent of each joint; the root is its own parent. The root is the centre joint.
        hip: Joint whose track is the body's trajectory.
        shoulders: (left, right) joints; their horizontal direction is the body's heading.
        pairs: (left, right) joints exchanged by a spatial flip.
        parts: Body parts, a partition of the joints, in a fixed order.
    """
    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    hip: int
    shoulders: tuple[int, int]
    pairs: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self):
        joints = range(len(self.joints))
        if len(self.parents) != len(self.joints):
            raise UserError(f'layout {self.name}: {len(self.joints)} joints but {len(self.parents)} parents')
        used = [*self.parents, self.hip, *self.shoulders, *(j for pair in self.pairs for j in pair)]
        if any(j not in joints for j in used):
            raise UserError(f'layout {self.name}: a joint index is outside 0..{len(self.joints) - 1}')
        if sum(parent == joint for joint, parent in enumerate(self.parents)) != 1:
            raise UserError(f'layout {self.name}: exactly one joint must be its own parent (the root)')
        if len(self.order) != len(self.joints):
            raise UserError(f'layout {self.name}: parents form a cycle')
        if self.parts and sorted(j for part in self.parts.values() for j in part) != list(joints):
            raise UserError(f'layout {self.name}: parts must hold every joint exactly once')

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @property
    def centre(self) -> int:
        """The root of the tree."""
        return next(j for j, parent in enumerate(self.parents) if j == parent)

    @property
    def bones(self) -> list[tuple[int, int]]:
        """(child, parent) of every joint but the root."""
        return [(j, parent) for j, parent in enumerate(self.parents) if j != parent]

    @property
    def order(self) -> list[int]:
        """Joints from the root outwards, parents before children."""
        seen = [self.centre]
        for joint in seen:
            seen += [j for j, parent in enumerate(self.parents) if parent == joint and j != joint]
        return seen

    @property
    def mirror(self) -> list[int]:
        """Permutation of the joints that exchanges left and right."""
        permutation = list(range(self.num_joints))
        for left, right in self.pairs:
            permutation[left], permutation[right] = right, left
        return permutation


def _pairs(*spans: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((left + i, right + i) for left, right, length in spans for i in range(length))


LAYOUTS = {layout.name: layout for layout in (
    SkeletonLayout(  # Kinect v2; tree and parts as in the ST-GCN lineage (docs/methods.md 0.2, 0.3)
        name='ntu25',
        joints=('hip_centre', 'spine', 'neck', 'head',
                'left_shoulder', 'left_elbow', 'left_wrist', 'left_hand',
                'right_shoulder', 'right_elbow', 'right_wrist', 'right_hand',
                'left_hip', 'left_knee', 'left_ankle', 'left_foot',
                'right_hip', 'right_knee', 'right_ankle', 'right_foot', 'shoulder_centre',
                'left_hand_tip', 'left_thumb', 'right_hand_tip', 'right_thumb'),
        parents=(1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11),
        hip=0, shoulders=(4, 8), pairs=_pairs((4, 8, 4), (12, 16, 4), (21, 23, 2)),
        parts=dict(trunk=(3, 2, 20, 1, 0), right_arm=(8, 9, 10, 11, 23, 24), left_arm=(4, 5, 6, 7, 21, 22),
                   right_leg=(16, 17, 18, 19), left_leg=(12, 13, 14, 15))),
    SkeletonLayout(  # Kinect v1: NW-UCLA, MSR Action3D (re-indexed), UTD-MHAD, UTKinect
        name='kinect20',
        joints=('hip_centre', 'spine', 'shoulder_centre', 'head',
                'left_shoulder', 'left_elbow', 'left_wrist', 'left_hand',
                'right_shoulder', 'right_elbow', 'right_wrist', 'right_hand',
                'left_hip', 'left_knee', 'left_ankle', 'left_foot',
                'right_hip', 'right_knee', 'right_ankle', 'right_foot'),
        parents=(1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
        hip=0, shoulders=(4, 8), pairs=_pairs((4, 8, 4), (12, 16, 4)),
        parts=dict(trunk=(0, 1, 2, 3), right_arm=(8, 9, 10, 11), left_arm=(4, 5, 6, 7),
                   right_leg=(16, 17, 18, 19), left_leg=(12, 13, 14, 15))),
    SkeletonLayout(  # SBU Kinect Interaction
        name='sbu15',
        joints=('head', 'neck', 'torso', 'left_shoulder', 'left_elbow', 'left_hand',
                'right_shoulder', 'right_elbow', 'right_hand', 'left_hip', 'left_knee', 'left_foot',
                'right_hip', 'right_knee', 'right_foot'),
        parents=(1, 1, 1, 1, 3, 4, 1, 6, 7, 2, 9, 10, 2, 12, 13),
        hip=2, shoulders=(3, 6), pairs=_pairs((3, 6, 3), (9, 12, 3)),
        parts=dict(trunk=(0, 1, 2), right_arm=(6, 7, 8), left_arm=(3, 4, 5),
                   right_leg=(12, 13, 14), left_leg=(9, 10, 11))),
    SkeletonLayout(  # CMU motion capture: the far end of each bone of its .asf files; the tree hangs from the thorax
        name='cmu31',
        joints=('root', 'left_hip', 'left_knee', 'left_ankle', 'left_foot', 'left_toes',
                'right_hip', 'right_knee', 'right_ankle', 'right_foot', 'right_toes',
                'lower_back', 'upper_back', 'thorax', 'lower_neck', 'upper_neck', 'head',
                'left_shoulder', 'left_elbow', 'left_wrist', 'left_palm', 'left_hand', 'left_fingers', 'left_thumb',
                'right_shoulder', 'right_elbow', 'right_wrist', 'right_palm', 'right_hand', 'right_fingers',
                'right_thumb'),
        parents=(11, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 12, 13, 13, 13, 14, 15,
                 13, 17, 18, 19, 20, 21, 20, 13, 24, 25, 26, 27, 28, 27),
        hip=0, shoulders=(17, 24), pairs=_pairs((1, 6, 5), (17, 24, 7)),
        parts=dict(trunk=(0, 11, 12, 13, 14, 15, 16), right_arm=(24, 25, 26, 27, 28, 29, 30),
                   left_arm=(17, 18, 19, 20, 21, 22, 23), right_leg=(6, 7, 8, 9, 10), left_leg=(1, 2, 3, 4, 5))),
    SkeletonLayout(  # COCO keypoints; it has no centre of the hips, so the nose, which a flip keeps, is the centre
        name='coco17',
        joints=('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
                'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip',
                'left_knee', 'right_knee', 'left_ankle', 'right_ankle'),
        parents=(0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
        hip=0, shoulders=(5, 6), pairs=tuple((i, i + 1) for i in range(1, 17, 2)),
        parts=dict(trunk=(0, 1, 2, 3, 4), right_arm=(6, 8, 10), left_arm=(5, 7, 9),
                   right_leg=(12, 14, 16), left_leg=(11, 13, 15))),
    SkeletonLayout(  # OpenPose BODY_25
        name='openpose25',
        joints=('nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist',
                'left_shoulder', 'left_elbow', 'left_wrist', 'hip_centre', 'right_hip', 'right_knee', 'right_ankle',
                'left_hip', 'left_knee', 'left_ankle', 'right_eye', 'left_eye', 'right_ear', 'left_ear',
                'left_big_toe', 'left_small_toe', 'left_heel', 'right_big_toe', 'right_small_toe', 'right_heel'),
        parents=(1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11),
        hip=8, shoulders=(5, 2), pairs=((5, 2), (6, 3), (7, 4), (12, 9), (13, 10), (14, 11), (16, 15), (18, 17),
                                        (19, 22), (20, 23), (21, 24)),
        parts=dict(trunk=(0, 1, 8, 15, 16, 17, 18), right_arm=(2, 3, 4), left_arm=(5, 6, 7),
                   right_leg=(9, 10, 11, 22, 23, 24), left_leg=(12, 13, 14, 19, 20, 21))),
    SkeletonLayout(  # MediaPipe pose landmarks; the centre as in coco17
        name='mediapipe33',
        joints=('nose', 'left_eye_inner', 'left_eye', 'left_eye_outer', 'right_eye_inner', 'right_eye',
                'right_eye_outer', 'left_ear', 'right_ear', 'mouth_left', 'mouth_right', 'left_shoulder',
                'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_pinky',
                'right_pinky', 'left_index', 'right_index', 'left_thumb', 'right_thumb', 'left_hip', 'right_hip',
                'left_knee', 'right_knee', 'left_ankle', 'right_ankle', 'left_heel', 'right_heel',
                'left_foot_index', 'right_foot_index'),
        parents=(0, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23, 24,
                 25, 26, 27, 28, 29, 30),
        hip=0, shoulders=(11, 12), pairs=((1, 4), (2, 5), (3, 6), *((i, i + 1) for i in range(7, 33, 2))),
        parts=dict(trunk=tuple(range(11)), right_arm=tuple(range(12, 23, 2)), left_arm=tuple(range(11, 22, 2)),
                   right_leg=tuple(range(24, 33, 2)), left_leg=tuple(range(23, 32, 2)))),
)}


def get_layout(layout: str | Mapping | SkeletonLayout) -> SkeletonLayout:
    """Look a layout up by name, or make one from a dict of :class:`SkeletonLayout`'s arguments."""
    if isinstance(layout, SkeletonLayout):
        return layout
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise UserError(f'unknown layout {layout!r}: choose one of {", ".join(sorted(LAYOUTS))}, or give a dict '
                            'with name, joints, parents, hip, shoulders, pairs, parts')
        return LAYOUTS[layout]
    try:
        fields = dict(layout)
        for key in ('joints', 'parents', 'shoulders'):
            fields[key] = tuple(fields[key])
        fields['pairs'] = tuple(tuple(pair) for pair in fields.get('pairs', ()))
        fields['parts'] = {name: tuple(part) for name, part in fields.get('parts', {}).items()}
        return SkeletonLayout(**fields)
    except (KeyError, TypeError) as error:
        raise UserError(f'layout dict: {error}; it needs name, joints, parents, hip, shoulders') from error


def read_layout(text: str) -> SkeletonLayout:
    """A layout as a command line names it: by its name, or by a json file of :class:`SkeletonLayout`'s arguments."""
    if not text.endswith('.json'):
        return get_layout(text)
    try:
        with open(text, encoding='utf-8') as file:
            return get_layout(json.load(file))
    except (OSError, ValueError) as error:
        raise UserError(f'layout {text} cannot be read: {error}') from error
