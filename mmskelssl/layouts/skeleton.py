"""The layout of a skeleton."""
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmskelssl.errors import UserError
from mmskelssl.layouts.canonical import CANONICAL

MAX_JOINTS = 1024  # no estimator has so many, and a crafted file may name millions


@dataclass(frozen=True)
class SkeletonLayout:
    """A tree of joints.

    Args:
        name: Name under which stores and configs refer to it.
        joints: Joint names; their order is the order of the V axis.
        parents: Parent of each joint; that of the root is -1 or the root itself, which is how it is kept. The root is
            the centre joint.
        hip: Joint whose track is the body's trajectory.
        shoulders: (left, right) joints; their horizontal direction is the body's heading.
        pairs: (left, right) joints exchanged by a spatial flip.
        parts: Body parts, a partition of the joints, in a fixed order.
        canonical: Canonical name (:mod:`mmskelssl.layouts.canonical`) of each joint, None for a joint that other
            layouts do not have. Without it a joint whose name is a canonical one stands for that. It describes the
            skeleton to other layouts and takes no part in comparisons.
    """
    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    hip: int
    shoulders: tuple[int, int]
    pairs: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    canonical: tuple[str | None, ...] = field(default=(), compare=False)

    def __post_init__(self):
        self._check_kinds()
        joints = range(len(self.joints))
        if len(self.parents) != len(self.joints):
            raise UserError(f'layout {self.name}: {len(self.joints)} joints but {len(self.parents)} parents')
        parents = tuple(joint if parent == -1 else parent for joint, parent in enumerate(self.parents))
        object.__setattr__(self, 'parents', parents)
        used = [*self.parents, self.hip, *self.shoulders, *(j for pair in self.pairs for j in pair)]
        if any(type(j) is not int or j not in joints for j in used):
            raise UserError(f'layout {self.name}: a joint index is outside 0..{len(self.joints) - 1}')
        if sum(parent == joint for joint, parent in enumerate(self.parents)) != 1:
            raise UserError(f'layout {self.name}: exactly one joint must be its own parent (the root), or have -1')
        if len(self.order) != len(self.joints):
            raise UserError(f'layout {self.name}: parents form a cycle')
        if self.parts and sorted(j for part in self.parts.values() for j in part) != list(joints):
            raise UserError(f'layout {self.name}: parts must hold every joint exactly once')
        self._check_canonical()

    def _check_kinds(self) -> None:
        if not 0 < len(self.joints) <= MAX_JOINTS:
            raise UserError(f'a layout has {len(self.joints)} joints: expected 1 to {MAX_JOINTS}')
        if not all(isinstance(name, str) for name in (self.name, *self.joints, *self.parts)):
            raise UserError('a layout has a name, a joint or a part that is not text')
        if not self.name.isprintable():
            raise UserError(f'layout {self.name[:50]!r}: its name has characters that cannot be printed')
        numbers = [*self.parents, self.hip, *self.shoulders, *(j for pair in self.pairs for j in pair),
                   *(j for part in self.parts.values() for j in part)]
        if any(isinstance(j, bool) or not hasattr(j, '__index__') for j in numbers):
            raise UserError(f'layout {self.name!r}: joints are numbered by integers')
        if any(len(pair) != 2 for pair in (self.shoulders, *self.pairs)):
            raise UserError(f'layout {self.name!r}: shoulders and pairs are two joints each')

    def _check_canonical(self) -> None:
        if self.canonical and len(self.canonical) != len(self.joints):
            raise UserError(f'layout {self.name}: {len(self.joints)} joints but {len(self.canonical)} canonical names')
        names = [name for name in self.canonical if name is not None]
        unknown = next((name for name in names if name not in CANONICAL), None)
        if unknown is not None:
            raise UserError(f'layout {self.name}: {unknown!r} is not a canonical joint name; '
                            'mmskelssl/layouts/canonical.py lists them')
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f'layout {self.name}: the canonical name {twice!r} appears twice')

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

    @property
    def named(self) -> dict[str, int]:
        """Canonical name -> joint."""
        names = self.canonical or [name if name in CANONICAL else None for name in self.joints]
        return {name: joint for joint, name in reversed([*enumerate(names)]) if name is not None}

    def fields(self) -> dict:
        """Its arguments, from which :func:`get_layout` makes it again; ``canonical`` only where it was given."""
        known = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.canonical:
            del known['canonical']
        return known
