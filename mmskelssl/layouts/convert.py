"""Converts clips between layouts, joint by joint, using canonical names.

A joint of the target is

- *exact* if the source has a joint with the same canonical name, whose coordinates are copied;
- *interpolated* if one of :data:`RULES` applies; each rule is a weighted mean of joints of the source;
- *repeated* if it is the end of a limb or the top of the head (:data:`ENDS`) and the source has only the wrist, the
  ankle or the head; it takes that joint's position, so the bone between them has length zero;
- refused otherwise.

Positions are copied or averaged, never invented. Pixels stay pixels, and a 2D clip stays 2D.
"""
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts.canonical import PARENTS
from mmskelssl.layouts.library import LAYOUTS, get_layout
from mmskelssl.layouts.skeleton import SkeletonLayout

Missing = Literal['ends', 'refuse', 'repeat']
Rule = dict[str, float]

_HIPS, _SHOULDERS = ('left_hip', 'right_hip'), ('left_shoulder', 'right_shoulder')


def _mean(*names: str) -> Rule:
    return dict.fromkeys(names, 1 / len(names))


def _side_rules(side: str) -> dict[str, tuple[Rule, ...]]:
    own = f'{side}_'
    return {
        f'{own}clavicle': (_mean('chest', f'{own}shoulder'),),
        f'{own}wrist': (_mean(f'{own}hand_root'),),
        f'{own}hand_root': (_mean(f'{own}wrist'),),
        f'{own}palm': (_mean(f'{own}wrist', f'{own}middle_1'),),
        f'{own}hand': (_mean(f'{own}palm'), _mean(f'{own}wrist', f'{own}index_1', f'{own}pinky_1')),
        f'{own}hand_tip': (_mean(f'{own}middle_4'),),
        f'{own}foot': (_mean(f'{own}big_toe', f'{own}small_toe'), _mean(f'{own}big_toe'))}


# Canonical name -> rules. The first rule whose joints the source all has is used. Measured on NTU RGB+D, the spine lies
# 0.57 of the way from the pelvis to the chest, and the neck 0.35 of the way from the chest to the head.
RULES: dict[str, tuple[Rule, ...]] = {
    'pelvis': (_mean(*_HIPS),),
    'chest': (_mean(*_SHOULDERS),),
    'neck': ({'chest': 2 / 3, 'head': 1 / 3}, _mean(*_SHOULDERS)),
    'head': (_mean('left_ear', 'right_ear'), _mean('neck', 'head_top')),
    'spine': (_mean('pelvis', 'chest'), {'pelvis': .5, **dict.fromkeys(_SHOULDERS, .25)},
              {'chest': .5, **dict.fromkeys(_HIPS, .25)}, _mean(*_HIPS, *_SHOULDERS)),
    'lower_spine': (_mean('pelvis', 'spine'),),
    'upper_spine': (_mean('spine', 'chest'),),
    'palm': (_mean('wrist', 'middle_1'),)} | _side_rules('left') | _side_rules('right')

# Joints that repeat the previous joint of the limb, and the joints that they repeat.
ENDS = frozenset(['head_top', *(f'{side}_{name}' for side in ('left', 'right') for name in (
    'hand', 'hand_tip', 'thumb_4', 'heel', 'foot', 'toes', 'big_toe', 'small_toe'))])
_BEFORE_ENDS = ('head', 'left_wrist', 'right_wrist', 'left_ankle', 'right_ankle')


@dataclass(frozen=True)
class Conversion:
    """Plan for computing each joint of a layout from the joints of another.

    Args:
        source, target: Layouts.
        exact: Joint of the target -> joint of the source.
        interpolated: Joint of the target -> weights of joints of the source.
        repeated: Joint of the target -> weights of joints of the source that give the repeated joint.
    """
    source: SkeletonLayout
    target: SkeletonLayout
    exact: dict[int, int]
    interpolated: dict[int, dict[int, float]]
    repeated: dict[int, dict[int, float]]

    @cached_property
    def left_out(self) -> list[int]:
        """Joints of the source that no joint of the target uses."""
        means = (self.interpolated | self.repeated).values()
        used = {*self.exact.values(), *(joint for rule in means for joint in rule)}
        return [joint for joint in range(self.source.num_joints) if joint not in used]

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Convert a clip (..., V, C) to (..., V', C); see :func:`convert_layout`."""
        clip = np.asarray(clip)
        clip = clip if clip.dtype.kind == 'f' else clip.astype(np.float64)
        if clip.ndim < 2 or clip.shape[-2] != self.source.num_joints:
            raise UserError(f'a clip of shape {clip.shape} does not have the {self.source.num_joints} joints of layout '
                            f'{self.source.name!r} in its second to last axis')
        made = np.zeros((*clip.shape[:-2], self.target.num_joints, clip.shape[-1]), clip.dtype)
        made[..., [*self.exact], :] = clip[..., [*self.exact.values()], :]
        means = self.interpolated | self.repeated
        seen = _seen(clip) if means else np.empty(0)
        for joint, rule in means.items():
            joints, weights = [*rule], np.array([*rule.values()], np.float64)
            mean = np.einsum('...vc,v->...c', clip[..., joints, :], weights)
            made[..., joint, :] = np.where(np.asarray(seen[..., joints].all(-1))[..., None], mean, 0)
        return made

    def describe(self) -> list[str]:
        """Return a line for each kind of joint, with the rules."""
        lines = [f'exact {len(self.exact)} of {self.target.num_joints} joints']
        for what, rules in (('interpolated', self.interpolated), ('repeated', self.repeated)):
            texts = [f'{self.target.joints[joint]} = {self._formula(rule)}' for joint, rule in rules.items()]
            lines += [f'{what} {len(rules)}: {"; ".join(texts)}'] * bool(rules)
        names = [self.source.joints[joint] for joint in self.left_out]
        return lines + [f'left out {len(names)} of {self.source.name}: {_some(names)}'] * bool(names)

    def _formula(self, rule: dict[int, float]) -> str:
        names = self.source.joints
        return ' + '.join(f'{weight:.2g} {names[j]}' if weight < 1 else names[j] for j, weight in rule.items())


def convert_layout(clip: np.ndarray, source: str | dict | SkeletonLayout, target: str | dict | SkeletonLayout,
                   missing: Missing = 'ends') -> np.ndarray:
    """Convert a clip to another layout.

    A joint at the origin counts as missing, as in the output of pose estimators. The exception is a centred clip, in
    which the origin lies within the bounding box of the other joints. A joint interpolated from a missing joint is
    missing too and stays at the origin.

    Args:
        clip: (..., V, C), with C coordinates in any unit.
        source, target: Layouts.
        missing: Which joints without a counterpart in the source repeat the nearest joint towards the trunk: only the
            ``ends`` of the limbs and the head (:data:`ENDS`), all of them (``repeat``), or none (``refuse``).

    Returns:
        The clip (..., V', C), in its floating-point type; float64 for integers.

    Raises:
        UserError: The source has no counterpart for a joint of the target, or the clip does not have the source's
            layout.
    """
    return conversion(source, target, missing)(clip)


def conversion(source: str | dict | SkeletonLayout, target: str | dict | SkeletonLayout,
               missing: Missing = 'ends') -> Conversion:
    """Plan how to compute the joints of ``target``. Arguments and errors are those of :func:`convert_layout`."""
    if missing not in get_args(Missing):
        raise UserError(f'missing={missing!r}: expected one of {", ".join(get_args(Missing))}')
    source, target = get_layout(source), get_layout(target)
    if source == target:
        joints = range(source.num_joints)
        return Conversion(source, target, dict(zip(joints, joints, strict=True)), {}, {})
    names = {joint: name for name, joint in target.named.items()}
    exact = {joint: source.named[name] for joint, name in names.items() if name in source.named}
    interpolated = {joint: rule for joint, name in names.items() if joint not in exact
                    and (rule := _rule(source, name))}
    made = {joint: {other: 1.} for joint, other in exact.items()} | interpolated
    lost = [joint for joint in range(target.num_joints) if joint not in made]
    ends = {} if missing == 'refuse' else {joint: rule for joint in lost if (rule := _end(source, names.get(joint)))}
    lost = [joint for joint in lost if joint not in ends]
    if lost and (missing != 'repeat' or not made):
        raise UserError(_refusal(source, target, lost))
    repeated = {joint: _inwards(source, names.get(joint)) or made[_nearest(target, joint, made)] for joint in lost}
    return Conversion(source, target, exact, interpolated, ends | repeated)


def targets_of(source: SkeletonLayout) -> list[str]:
    """Return the names of the built-in layouts that a layout can be converted to."""
    return [name for name, layout in LAYOUTS.items() if layout != source and len(layout.named) == layout.num_joints
            and all(joint in source.named or _rule(source, joint) or _end(source, joint) for joint in layout.named)]


def _rule(source: SkeletonLayout, name: str) -> dict[int, float]:
    """Return the weights of the source's joints for a canonical name, from the first rule that applies."""
    named = source.named
    for rule in RULES.get(name, ()):
        if rule.keys() <= named.keys():
            return {named[other]: weight for other, weight in rule.items()}
    return {}


def _end(source: SkeletonLayout, name: str | None) -> dict[int, float]:
    """Return the weights of the joint that an end repeats; empty if it is not an end or there is nothing to repeat."""
    return _inwards(source, name, _BEFORE_ENDS) if name in ENDS else {}


def _inwards(source: SkeletonLayout, name: str | None, last: Collection[str] = ()) -> dict[int, float]:
    """Return the weights of the nearest joint towards the trunk that the source provides, up to one of ``last``."""
    while name is not None and name not in last:
        name = PARENTS[name]
        if name in source.named:
            return {source.named[name]: 1.}
        if name is not None and (rule := _rule(source, name)):
            return rule
    return {}


def _nearest(layout: SkeletonLayout, joint: int, made: Collection[int]) -> int:
    """Return the joint of ``made`` that is the fewest bones away; ties go towards the root."""
    seen = [joint]
    for here in seen:
        if here in made:
            return here
        near = [layout.parents[here], *(child for child, parent in layout.bones if parent == here)]
        seen += [other for other in near if other not in seen]
    raise AssertionError('a tree reaches every joint')


def _seen(clip: np.ndarray) -> np.ndarray:
    """Return (..., V) bool: joints away from the origin; all joints if the origin lies among the others."""
    away = np.asarray(clip.any(-1))
    if away.all():
        return away
    with np.errstate(invalid='ignore'):
        low = np.where(away[..., None], clip, np.inf).min(-2)
        high = np.where(away[..., None], clip, -np.inf).max(-2)
    return away | np.asarray(((low < 0) & (high > 0)).all(-1))[..., None]


def _refusal(source: SkeletonLayout, target: SkeletonLayout, lost: list[int]) -> str:
    """Describe what is missing and what the user can do."""
    if not source.named:
        return (f'layout {source.name!r} cannot be converted to {target.name!r}: none of its joints has a canonical '
                'name; add "canonical" to it')
    joints = _some([target.joints[joint] for joint in lost])
    can = [name for name in targets_of(source) if name != target.name]
    others = f', or choose one that is possible: {_some(can)}' if can else ''
    repeat = 'let them repeat the nearest joint (--missing repeat)' if len(lost) < target.num_joints else ''
    advice = (repeat + others).removeprefix(', or ')
    return f'layout {source.name!r} cannot be converted to {target.name!r}: it has no counterpart for {joints}' + (
        f': {advice}' if advice else '')


def _some(names: list[str], most: int = 8) -> str:
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
