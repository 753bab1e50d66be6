"""Canonical joint names: the shared vocabulary that relates the joints of different layouts.

Joints of different layouts with the same canonical name are the same point of the body, as far as the sources define
it. Names of the two sides begin with ``left_`` and ``right_``.

Trunk, from the bottom up: ``pelvis`` is the centre of the hips. ``spine`` is the middle of the trunk, between
``lower_spine`` and ``upper_spine`` in skeletons with three spine joints. ``chest`` lies between the shoulders (Kinect's
shoulder centre). ``neck`` lies above it, although pose estimators also place it between the shoulders. ``head`` is the
centre of the head.

Arms: ``hand`` is the centre of the hand and ``hand_tip`` the end of the fingers. ``hand_root`` is the wrist of a hand
model attached to a body model that has its own ``wrist``. Fingers are numbered from the palm; number 4 is the tip. A
single hand uses the names without a side.

Legs: ``foot`` is the front of the foot. ``toes`` is its tip in skeletons that have both.

``face_0`` to ``face_67`` are the 68 landmarks of iBUG 300-W.
"""
_MIDDLE = ('pelvis', 'lower_spine', 'spine', 'upper_spine', 'chest', 'neck', 'head', 'head_top', 'nose', 'tail_base')
_FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
HAND = ('wrist', 'palm', *(f'{finger}_{i}' for finger in _FINGERS for i in (1, 2, 3, 4)))
_SIDED = ('eye_inner', 'eye', 'eye_outer', 'ear', 'mouth', 'clavicle', 'shoulder', 'elbow', *HAND, 'hand_root',
          'hand', 'hand_tip', 'hip', 'knee', 'ankle', 'heel', 'foot', 'toes', 'big_toe', 'small_toe', 'front_paw',
          'back_paw')

# This is the joint order in a pool of stores with different layouts.
CANONICAL: tuple[str, ...] = (*_MIDDLE, *(f'{side}_{name}' for side in ('left', 'right') for name in _SIDED), *HAND,
                              *(f'face_{i}' for i in range(68)))


def _tree() -> dict[str, str | None]:
    parents: dict[str, str | None] = dict(
        pelvis=None, lower_spine='pelvis', spine='lower_spine', upper_spine='spine', chest='upper_spine', neck='chest',
        head='neck', head_top='head', nose='head', tail_base='pelvis', wrist=None, palm='wrist')
    for side in ('left_', 'right_', ''):
        parents |= {f'{side}{finger}_{i}': f'{side}{finger}_{i - 1}' if i > 1 else f'{side}palm'
                    for finger in _FINGERS for i in (1, 2, 3, 4)}
    for side in ('left_', 'right_'):
        parents |= {f'{side}eye': 'nose', f'{side}mouth': 'nose', f'{side}clavicle': 'chest', f'{side}hip': 'pelvis'}
        parents |= {f'{side}{joint}': f'{side}{parent}' for joint, parent in dict(
            eye_inner='eye', eye_outer='eye', ear='eye', shoulder='clavicle', elbow='shoulder', wrist='elbow',
            hand_root='wrist', hand='hand_root', palm='hand', hand_tip='hand', knee='hip', ankle='knee', heel='ankle',
            foot='ankle', toes='foot', big_toe='foot', small_toe='foot', front_paw='elbow', back_paw='knee').items()}
    return parents | {f'face_{i}': 'nose' for i in range(68)}


# Parent of each joint in a skeleton with all joints; None for the pelvis and for the wrist of a single hand.
PARENTS: dict[str, str | None] = _tree()
