"""Augmentations that know the skeleton: flipping left and right, changing the length of bones."""
import torch

from mmskelssl.augment.base import BatchAugment, split_axes, uniform
from mmskelssl.augment.tree import check_joints, rescale_bones, take_joints
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS


@BATCH_AUGMENTS.register_module()
class SpatialFlip(BatchAugment):
    """Exchange left and right joints.

    Args:
        mirror: Also negate x, which makes it a reflection. The published one only renames joints (docs/methods.md 0.5).
    """

    needs_layout = True

    def __init__(self, p: float = 0.5, mirror: bool = False, layout=None):
        super().__init__(p, layout)
        self.mirror = mirror

    def bind(self, layout):
        super().bind(layout)
        if not self.layout.pairs:
            raise UserError(f'SpatialFlip: layout {self.layout.name} names no left/right pairs: add `pairs` to it')
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


@BATCH_AUGMENTS.register_module()
class Rescale(BatchAugment):
    """One factor per bone and clip; the body is rebuilt outwards from its root.

    Args:
        amplitude: Size of the change.
        centred: Factors 1 + amplitude * U(-1, 1). The published recipe takes amplitude * U(0, 1), which with its
            amplitude of .5 shrinks bodies to between nothing and half their size (docs/methods.md 0.5).
    """

    needs_layout = True

    def __init__(self, amplitude: float = 0.5, centred: bool = False, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.amplitude, self.centred = amplitude, centred

    def draw(self, x, generator):
        """factors (N, V), for the bone that ends in each joint; the root's is ignored."""
        low, high = (1 - self.amplitude, 1 + self.amplitude) if self.centred else (0, self.amplitude)
        return dict(factors=uniform(x, generator, low, high, x.shape[3]))

    def apply(self, x, factors):
        return rescale_bones(x, factors, self.layout)
