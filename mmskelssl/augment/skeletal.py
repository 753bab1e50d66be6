"""Augmentations that need the skeleton layout: left-right flips and changes of bone length."""
from functools import lru_cache

import torch

from mmskelssl.augment.base import BatchAugment, split_axes, uniform
from mmskelssl.augment.tree import check_joints, rescale_bones, take_joints
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class SpatialFlip(BatchAugment):
    """Swap left and right joints, and their scores.

    Args:
        mirror: Also negate x, which makes it a reflection. The published version only swaps the joints
            (docs/methods.md 0.5).
    """

    needs_layout = True

    def __init__(self, p: float = 0.5, mirror: bool = False, layout=None):
        super().__init__(p, layout)
        self.mirror = mirror

    def bind(self, layout):
        super().bind(layout)
        if not self.layout.pairs:
            raise UserError(f'SpatialFlip: layout {self.layout.name} has no left/right pairs: add `pairs` to it')
        return self

    def apply(self, x):
        check_joints(x, self.layout)
        flipped = take_joints(x, self.layout.mirror)
        if not self.mirror:
            return flipped
        points = split_axes(flipped, 'SpatialFlip')
        sign = torch.ones(points.shape[2], device=x.device, dtype=x.dtype)
        sign[:1] = -1
        return (points * sign[:, None]).view(x.shape)

    def apply_scores(self, scores):
        return take_joints(scores, self.layout.mirror)


@BATCH_AUGMENTS.register_module()
class Rescale(BatchAugment):
    """Multiply each bone of a clip by its own random factor and rebuild the body outwards from its root.

    Args:
        amplitude: Size of the change.
        centred: Draw factors from 1 + amplitude * U(-1, 1). The published recipe draws them from amplitude * U(0, 1).
            With its amplitude of .5, bodies shrink to between zero and half their size (docs/methods.md 0.5).
        by: ``bone`` draws a factor for each bone. ``limb`` draws one for each kind of body part: for the trunk, for
            both arms and for both legs (SLiM).
    """

    needs_layout = True

    def __init__(self, amplitude: float = 0.5, centred: bool = False, by: str = 'bone', p: float = 1.0, layout=None):
        if by not in ('bone', 'limb'):
            raise UserError(f'Rescale: by is {by!r}: choose one of bone, limb')
        self.amplitude, self.centred, self.by = amplitude, centred, by
        super().__init__(p, layout)

    def bind(self, layout):
        super().bind(layout)
        if self.by == 'limb' and not self.layout.parts:
            raise UserError(f"Rescale: layout {self.layout.name} has no body parts, which by='limb' needs: add `parts` "
                            'to it')
        return self

    def draw(self, x, generator):
        """Draw ``factors`` (N, V) for the bone that ends in each joint. The factor of the root is ignored."""
        low, high = (1 - self.amplitude, 1 + self.amplitude) if self.centred else (0, self.amplitude)
        if self.by == 'bone':
            return dict(factors=uniform(x, generator, low, high, x.shape[3]))
        check_joints(x, self.layout)
        kinds = limbs(self.layout)
        drawn = uniform(x, generator, low, high, max(kinds) + 1)
        return dict(factors=drawn.index_select(1, _on_device(kinds, x.device)))

    def apply(self, x, factors):
        return rescale_bones(x, factors, self.layout)


def limbs(layout: SkeletonLayout) -> tuple[int, ...]:
    """Return the kind of body part of each joint, as a number. Left and right parts are of the same kind."""
    kinds: dict[str, int] = {}
    found = [0] * layout.num_joints
    for name, joints in layout.parts.items():
        kind = kinds.setdefault(name.removeprefix('left_').removeprefix('right_'), len(kinds))
        for joint in joints:
            found[joint] = kind
    return tuple(found)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _on_device(numbers: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers).to(device)
