"""Combines several layouts into one with all of their joints, using canonical names."""
from collections.abc import Iterable

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts.canonical import CANONICAL, HAND, PARENTS
from mmskelssl.layouts.skeleton import SkeletonLayout

_LEG = ('hip', 'knee', 'ankle', 'heel', 'foot', 'toes', 'big_toe', 'small_toe', 'back_paw')
_FACE = ('eye', 'eye_inner', 'eye_outer', 'ear', 'mouth')


def union_layout(layouts: Iterable[SkeletonLayout]) -> SkeletonLayout:
    """Return a layout of all canonical joints that any of the layouts has, in the order of the vocabulary.

    The parent of a joint is its nearest ancestor present in the tree of all canonical joints. The first joint without
    such an ancestor is the root, and it is the parent of all other joints without one.

    Raises:
        UserError: A layout has no joint with a canonical name.
    """
    layouts = list(layouts)
    for layout in layouts:
        if not layout.named:
            raise UserError(f'layout {layout.name!r}: none of its joints has a canonical name; add "canonical" to it')
    there = {name for layout in layouts for name in layout.named}
    joints = tuple(name for name in CANONICAL if name in there)
    place = {name: i for i, name in enumerate(joints)}
    parents = [_parent(name, place) for name in joints]
    root = next(i for i, parent in enumerate(parents) if parent is None)
    pairs = tuple((i, place[other]) for name, i in place.items()
                  if name.startswith('left_') and (other := f'right_{name[5:]}') in place)
    parts: dict[str, list[int]] = {}
    for name, i in place.items():
        parts.setdefault(_part(name), []).append(i)
    shoulders = next(((place[left], place[right]) for left, right in (
        ('left_shoulder', 'right_shoulder'), ('left_hip', 'right_hip'), ('index_1', 'pinky_1'))
        if left in place and right in place), pairs[0] if pairs else (root, root))
    return SkeletonLayout(
        name=f'union{len(joints)}', joints=joints, hip=place.get('pelvis', root), shoulders=shoulders, pairs=pairs,
        parents=tuple(-1 if i == root else root if parent is None else parent for i, parent in enumerate(parents)),
        parts={name: tuple(part) for name, part in parts.items()}, canonical=joints)


def joint_mask(layout: SkeletonLayout, union: SkeletonLayout) -> np.ndarray:
    """Return (V,) bool: the joints of the union that the layout has."""
    return np.array([name in layout.named for name in union.joints])


def places(layout: SkeletonLayout, union: SkeletonLayout) -> list[int | None]:
    """Return, for each joint of the union, the joint of the layout with the same canonical name, or None.

    Raises:
        UserError: The two have no joint in common.
    """
    made = [layout.named.get(name) for name in union.joints]
    if all(joint is None for joint in made):
        raise UserError(f'layout {layout.name!r} has none of the joints of {union.name!r}')
    return made


def describe_joints(layout: SkeletonLayout, union: SkeletonLayout) -> str:
    """Return a phrase about the joints of the union that a layout has and lacks."""
    missing = [name for name in union.joints if name not in layout.named]
    there = f'{union.num_joints - len(missing)} of the {union.num_joints} joints'
    return there + (f'; missing: {", ".join(missing)}' if missing else '')


def into_union(clip: np.ndarray, layout: SkeletonLayout, union: SkeletonLayout) -> np.ndarray:
    """Move a clip (..., V, C) to (..., V', C). Joints that the layout lacks are zero."""
    made = np.zeros((*clip.shape[:-2], union.num_joints, clip.shape[-1]), clip.dtype)
    mask = joint_mask(layout, union)
    made[..., mask, :] = clip[..., [layout.named[name] for name in union.joints if name in layout.named], :]
    return made


def _parent(name: str, place: dict[str, int]) -> int | None:
    parent = PARENTS[name]
    while parent is not None and parent not in place:
        parent = PARENTS[parent]
    return None if parent is None else place[parent]


def _part(name: str) -> str:
    side, _, joint = name.partition('_')
    if side not in ('left', 'right'):
        return 'hand' if name in HAND else 'trunk'
    return 'trunk' if joint in _FACE else f'{side}_{"leg" if joint in _LEG else "arm"}'
