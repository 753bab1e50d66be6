"""Derives a layout for a skeleton from its joint names."""
import re

from mmskelssl.datasets.mocap.motion import Motion
from mmskelssl.errors import UserError

# LeftArm, mixamorig:LeftArm, lArm, L_Arm, Arm.L, arm_l, handL, Arm.L_end
_SIDE = re.compile(r'(?i:left|right)|(?:^|(?<=[_. :]))[lrLR](?=$|[A-Z_. ])|(?<=[a-z])[LR](?=$|_)')
_OTHER = {'left': 'right', 'Left': 'Right', 'LEFT': 'RIGHT', 'l': 'r', 'L': 'R'}
_OTHER |= {right: left for left, right in _OTHER.items()}
_LEG = re.compile(r'leg|thigh|shin|knee|ankle|foot|toe|femur|tibia|calf', re.IGNORECASE)
_UPPER_ARM = re.compile(r'^(?!.*(fore|lower)).*(arm|humerus)', re.IGNORECASE)


def layout_of_motion(motion: Motion, source: str) -> dict:
    """Derive the arguments of a :class:`~mmskelssl.layouts.SkeletonLayout` for a motion's joints.

    A joint has a side if its name has a counterpart on the other side. A limb consists of all joints below the first
    joint with a side. It is a leg if one of its joints has the name of a leg joint, and an arm otherwise. The shoulders
    are the upper arms or, without upper arms, the first arm joints that differ in position. The hip is the root.

    Args:
        motion: A motion with at least one frame.
        source: File name for error messages.

    Raises:
        UserError: The names do not identify both arms and both legs.
    """
    names = motion.names
    partner = {i: names.index(other) for i, name in enumerate(names) if (other := _mirrored(name)) in names}
    left = [i for i in partner if (found := _SIDE.search(names[i])) and found[0][0] in 'lL']
    limb: dict[int, int] = {}  # joint -> the first joint of its limb
    for i, parent in enumerate(motion.parents):
        if parent in limb:
            limb[i] = limb[parent]
        elif i in partner:
            limb[i] = i
    legs = {first for i, first in limb.items() if _LEG.search(names[i])}
    parts = dict(trunk=[i for i in range(len(names)) if i not in limb])
    for i, first in limb.items():
        side, kind = 'left' if first in left else 'right', 'leg' if first in legs else 'arm'
        parts.setdefault(f'{side}_{kind}', []).append(i)
    apart = [i for i in left if i in parts.get('left_arm', ())
             and abs(motion.positions[0, i] - motion.positions[0, partner[i]]).max() > 0]
    if not apart or len(parts) != 5 or not parts['trunk']:
        raise UserError(f'{source}: the joint names do not identify the arms and legs of both sides: give --layout '
                        'FILE.json with name, joints (names as in the file), parents, hip, shoulders, pairs, parts')
    shoulder = next((i for i in apart if _UPPER_ARM.search(names[i])), apart[0])
    return dict(name='bvh', joints=list(names), parents=list(motion.parents), hip=0,
                shoulders=[shoulder, partner[shoulder]], pairs=[[i, partner[i]] for i in left], parts=parts)


def _mirrored(name: str) -> str | None:
    match = _SIDE.search(name)
    if match is None or match[0] not in _OTHER:
        return None
    return name[:match.start()] + _OTHER[match[0]] + name[match.end():]
