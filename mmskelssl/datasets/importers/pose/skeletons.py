"""Identifies joints by their names in the file, or by their number and the program that wrote the file."""
from collections.abc import Sequence
from typing import Literal

from mmskelssl.datasets.importers.pose.joint_names import key_of
from mmskelssl.layouts import LAYOUTS, SkeletonLayout, get_layout

Joints = Literal['body', 'hands', 'whole']
HAND = 21  # joints of one hand
# Joints of the whole body -> group -> (layout, joints of each of its persons)
GROUPS: dict[int, dict[str, tuple[str, list[range]]]] = {
    133: dict(body=('coco17', [range(17)]), hands=('hand21', [range(91, 112), range(112, 133)])),
    136: dict(body=('halpe26', [range(26)]), hands=('hand21', [range(94, 115), range(115, 136)]))}


def group_of(count: int, wanted: Joints | None, asked: SkeletonLayout | None) -> tuple[str, list[range]] | None:
    """Return the requested group of whole-body joints, or the group of the given layout; None for all joints."""
    groups = GROUPS.get(count, {})
    if wanted == 'whole' or not groups and (wanted is None or wanted == 'hands' and count == HAND):
        return None
    if wanted:
        if wanted not in groups:
            raise ValueError(f'--joints {wanted}: the file has {count} joints, which is not a whole body '
                             f'({", ".join(map(str, GROUPS))})')
        return groups[wanted]
    return next((group for group in groups.values() if asked and group[0] == asked.name), None)


def layout_for(count: int, names: Sequence[str], known: dict[int, str], asked: SkeletonLayout | None
               ) -> tuple[SkeletonLayout, list[int] | None]:
    """Return the layout of a file's joints, and the file's joint for each joint of the layout if the order differs.

    Args:
        count: Number of joints in the file.
        names: Joint names, if the file has them.
        known: Number of joints -> layout, for the program that wrote the file.
        asked: Layout given by the user.

    Raises:
        ValueError: The joints do not match the layout, or match no known layout.
    """
    if names and len(names) == count:
        found = _by_name(names, [asked] if asked else _candidates(count, known))
        if found:
            return found
        raise ValueError(_mismatch(names, asked))
    if asked is None:
        if count not in known:
            raise ValueError(f'{count} joints, which no known program writes in this form: set --layout')
        return get_layout(known[count]), None
    if asked.num_joints != count:
        hint = f'; these look like {known[count]}' if count in known else ''
        raise ValueError(f'{count} joints, but the layout {asked.name} has {asked.num_joints}{hint}')
    return asked, None


def _candidates(count: int, known: dict[int, str]) -> list[SkeletonLayout]:
    first = [get_layout(known[count])] if known.get(count) in LAYOUTS else []
    return first + [layout for layout in map(get_layout, LAYOUTS) if layout.num_joints <= count]


def _by_name(names: Sequence[str], layouts: Sequence[SkeletonLayout]) -> tuple[SkeletonLayout, list[int] | None] | None:
    for layout in sorted(layouts, key=lambda layout: -layout.num_joints):
        keys = {key_of(name, layout.name): i for i, name in enumerate(names)}
        if len(keys) < len(names):
            continue
        order = [keys.get(key_of(joint), -1) for joint in layout.joints]
        whole = layout.num_joints == len(names) or len(layouts) == 1  # fewer than the file has only on request
        if min(order) >= 0 and whole:
            return layout, None if order == list(range(len(names))) else order
    return None


def _mismatch(names: Sequence[str], asked: SkeletonLayout | None) -> str:
    if asked is None:
        return f'its joints are {", ".join(names)}, which match no known layout: set --layout to a json file'
    own = {key_of(name, asked.name): name for name in names}
    theirs = {key_of(name): name for name in asked.joints}
    odd = [name for key, name in own.items() if key not in theirs]
    lost = [name for key, name in theirs.items() if key not in own]
    fitting = _by_name(names, [layout for layout in map(get_layout, LAYOUTS) if layout.num_joints == len(names)])
    hint = f'; its joints are those of {fitting[0].name}' if fitting else ''
    return (f'the joints of the file are not those of {asked.name}: it has {", ".join(odd) or "no other"} '
            f'and lacks {", ".join(lost) or "none"}{hint}')
