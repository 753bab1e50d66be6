"""The layout of a skeleton."""
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmskelssl.errors import UserError
from mmskelssl.layouts.canonical import CANONICAL

MAX_JOINTS = 1024  # more than any estimator has; a crafted file could list millions


@dataclass(frozen=True)
class SkeletonLayout:
    """A tree of joints.

    Args:
        name: Name used by stores and configs.
        joints: Joint names, in the order of the V axis.
        parents: Parent of each joint. The parent of the root is -1 or the root itself, and is stored as the
            latter. The root is the centre joint.
        hip: Joint that defines the body's trajectory.
        shoulders: (left, right) joints. Their horizontal direction defines the body's heading.
        pairs: (left, right) joints exchanged by a spatial flip.
        parts: Body parts, a partition of the joints, in a fixed order.
        canonical: Canonical name (:mod:`mmskelssl.layouts.canonical`) of each joint, or None for a joint that other
            layouts lack. By default, joint names that are canonical are used. This field relates the skeleton to other
            layouts; comparisons ignore it.
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
            raise UserError(f'layout {self.name}: parts must contain every joint exactly once')
        self._check_canonical()

    def _check_kinds(self) -> None:
        if not 0 < len(self.joints) <= MAX_JOINTS:
            raise UserError(f'a layout has {len(self.joints)} joints: expected 1 to {MAX_JOINTS}')
        if not all(isinstance(name, str) for name in (self.name, *self.joints, *self.parts)):
            raise UserError('a layout has a name, a joint or a part that is not text')
        if not self.name.isprintable():
            raise UserError(f'layout {self.name[:50]!r}: its name contains unprintable characters')
        numbers = [*self.parents, self.hip, *self.shoulders, *(j for pair in self.pairs for j in pair),
                   *(j for part in self.parts.values() for j in part)]
        if any(isinstance(j, bool) or not hasattr(j, '__index__') for j in numbers):
            raise UserError(f'layout {self.name!r}: joint indices must be integers')
        if any(len(pair) != 2 for pair in (self.shoulders, *self.pairs)):
            raise UserError(f'layout {self.name!r}: shoulders and pairs must have two joints each')

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
        """(child, parent) of every joint except the root."""
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
        """Return the arguments for :func:`get_layout` to recreate the layout; ``canonical`` only if it was given."""
        known = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.canonical:
            del known['canonical']
        return known
