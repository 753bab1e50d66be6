"""Augmentations of the coordinates that do not need a skeleton layout: linear maps, noise and masks."""
import math

import torch
from torch import Tensor

from mmskelssl.augment.base import BatchAugment, integers, split_axes, uniform
from mmskelssl.augment.tree import scale_joints
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS


def linear_map(x: Tensor, matrix: Tensor, name: str) -> Tensor:
    """Multiply every point of a clip by the clip's matrix, p -> matrix @ p.

    Args:
        x: (N, C, T, V, M).
        matrix: (N, D, D).
        name: Name of the caller, for the error message.

    Returns:
        (N, C, T, V, M).
    """
    dim = matrix.shape[-1]
    return (matrix[:, None] @ split_axes(x, name, (dim,))).view(x.shape)


def axes_of(x: Tensor, name: str) -> int:
    """Return D, the number of coordinates of a point: 3 if the channels allow it, otherwise 2."""
    return split_axes(x, name).shape[2]


def rotation(angles: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) of right-handed rotations about x, then y, then z by angles (N, 3) in radians.

    Multiply points by the matrices from the left.
    """
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    rows = (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
            sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
            -sy, cy * sx, cy * cx)
    return torch.stack(rows, dim=1).view(-1, 3, 3)


@BATCH_AUGMENTS.register_module()
class Shear(BatchAugment):
    """Shear with a matrix of ones on the diagonal and off-diagonal entries from U(-amplitude, amplitude).

    Source: docs/methods.md 0.5, with amplitude .5. The official ActCLR code restores the position of the centre joint
    afterwards. That is unnecessary for centred clips, because a linear map keeps the origin.
    """

    def __init__(self, amplitude: float = 0.5, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.amplitude = amplitude

    def draw(self, x, generator):
        """Draw ``matrix`` (N, D, D)."""
        dim = axes_of(x, 'Shear')
        unit = torch.eye(dim, device=x.device, dtype=x.dtype)
        return dict(matrix=unit + (1 - unit) * uniform(x, generator, -self.amplitude, self.amplitude, dim, dim))

    def apply(self, x, matrix):
        return linear_map(x, matrix, 'Shear')


@BATCH_AUGMENTS.register_module()
class Rotate(BatchAugment):
    """Rotate by U(0, main) degrees about one random axis and by U(0, minor) degrees about the other two.

    The rotations are applied in the order x, y, z. Source: AimCLR's random rotation (docs/methods.md 0.5). Its
    matrices rotate against the right-hand rule and its range is one-sided. The right-handed angles drawn here are
    therefore negative.
    """

    def __init__(self, main: float = 30.0, minor: float = 1.0, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.main, self.minor = main, minor

    def draw(self, x, generator):
        """Draw ``angles`` (N, 3) about x, y and z, right-handed, in radians."""
        axis = integers(x, generator, 3)
        is_main = torch.arange(3, device=x.device) == axis[:, None]
        limit = torch.where(is_main, -math.radians(self.main), -math.radians(self.minor)).to(x.dtype)
        return dict(angles=limit * uniform(x, generator, 0, 1, 3))

    def apply(self, x, angles):
        return linear_map(x, rotation(angles), 'Rotate')


@BATCH_AUGMENTS.register_module()
class TiltRotate(BatchAugment):
    """Rotate by independent angles from U(-degrees, degrees) about x, then y, then z. 3D only."""

    def __init__(self, degrees: float = 17.2, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.degrees = degrees

    def draw(self, x, generator):
        """Draw ``angles`` (N, 3) about x, y and z, right-handed, in radians."""
        limit = math.radians(self.degrees)
        return dict(angles=uniform(x, generator, -limit, limit, 3))

    def apply(self, x, angles):
        return linear_map(x, rotation(angles), 'TiltRotate')


@BATCH_AUGMENTS.register_module()
class YawRotate(BatchAugment):
    """Rotate about the vertical axis y by U(-degrees, degrees), which simulates another viewpoint. 3D only."""

    def __init__(self, degrees: float = 45.0, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.degrees = degrees

    def draw(self, x, generator):
        """Draw ``angle`` (N,), right-handed, in radians."""
        limit = math.radians(self.degrees)
        return dict(angle=uniform(x, generator, -limit, limit))

    def apply(self, x, angle):
        still = torch.zeros_like(angle)
        return linear_map(x, rotation(torch.stack((still, angle, still), dim=1)), 'YawRotate')


@BATCH_AUGMENTS.register_module()
class Scale(BatchAugment):
    """Scale the whole clip by one factor, 1 + U(-amplitude, amplitude)."""

    def __init__(self, amplitude: float = 0.2, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.amplitude = amplitude

    def draw(self, x, generator):
        """Draw ``factor`` (N,)."""
        return dict(factor=uniform(x, generator, 1 - self.amplitude, 1 + self.amplitude))

    def apply(self, x, factor):
        return x * factor.view(-1, 1, 1, 1, 1)


@BATCH_AUGMENTS.register_module()
class LinearJitter(BatchAugment):
    """Multiply points by the identity plus a matrix of N(0, std): slight shear, scaling and rotation combined."""

    def __init__(self, std: float = 0.1, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.std = std

    def draw(self, x, generator):
        """Draw ``matrix`` (N, D, D)."""
        dim = axes_of(x, 'LinearJitter')
        jitter = torch.randn(len(x), dim, dim, generator=generator, device=x.device, dtype=x.dtype)
        return dict(matrix=torch.eye(dim, device=x.device, dtype=x.dtype) + self.std * jitter)

    def apply(self, x, matrix):
        return linear_map(x, matrix, 'LinearJitter')


@BATCH_AUGMENTS.register_module()
class GaussianNoise(BatchAugment):
    """Add noise from N(0, std) to every coordinate.

    The published std is .01, and .05 in ActCLR's strong view.

    Args:
        absent: Also add noise where a person is absent, that is, where all joints of a frame are zero. This is the
            published behaviour; it gives absent persons a body of noise. With ``False`` they stay zero.
    """

    def __init__(self, p: float = 0.5, std: float = 0.01, absent: bool = True, layout=None):
        super().__init__(p, layout)
        self.std, self.absent = std, absent

    def draw(self, x, generator):
        """Draw ``noise`` (N, C, T, V, M), in the unit of ``x``."""
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return dict(noise=noise.mul_(self.std))

    def apply(self, x, noise):
        if not self.absent:
            noise = noise * (x != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
        return x + noise

    def _overwrite(self, x, rows, generator, scores):
        if type(self) is not GaussianNoise or scores or not self.absent:  # a subclass may change more
            return super()._overwrite(x, rows, generator, scores)
        return x.index_add_(0, rows, self.draw(x[:len(rows)], generator)['noise'])  # any rows have the right shape


@BATCH_AUGMENTS.register_module()
class AxisMask(BatchAugment):
    """Set one random axis to zero. Each axis has the same probability."""

    def __init__(self, p: float = 0.5, layout=None):
        super().__init__(p, layout)

    def draw(self, x, generator):
        """Draw ``axis`` (N,)."""
        return dict(axis=integers(x, generator, axes_of(x, 'AxisMask')))

    def apply(self, x, axis):
        points = split_axes(x, 'AxisMask')
        keep = torch.arange(points.shape[2], device=x.device) != axis[:, None]
        return (points * keep[:, None, :, None]).view(x.shape)

    def _overwrite(self, x, rows, generator, scores):
        if type(self) is not AxisMask or scores or not x.is_contiguous():
            return super()._overwrite(x, rows, generator, scores)
        axis = self.draw(x[:len(rows)], generator)['axis']
        groups = torch.arange(0, x.shape[1], split_axes(x, 'AxisMask').shape[2], device=x.device)
        x.flatten(0, 1).flatten(1).index_fill_(0, (rows[:, None] * x.shape[1] + groups + axis[:, None]).flatten(), 0)
        return x


@BATCH_AUGMENTS.register_module()
class JointMask(BatchAugment):
    """Set a share ``ratio`` of the joints, drawn separately for each clip, to zero in all frames and persons."""

    def __init__(self, p: float = 1.0, ratio: float = 0.15, layout=None):
        super().__init__(p, layout)
        if not 0 <= ratio < 1:
            raise UserError(f'JointMask: ratio must be in [0, 1), got {ratio}')
        self.ratio = ratio

    def draw(self, x, generator):
        """Draw ``keep`` (N, V), bool. In each row, round(ratio * V) values are False."""
        rank = uniform(x, generator, 0, 1, x.shape[3]).argsort(1).argsort(1)
        return dict(keep=rank >= round(self.ratio * x.shape[3]))

    def apply(self, x, keep):
        return scale_joints(x, keep)


@BATCH_AUGMENTS.register_module()
class CoordinateDropout(BatchAugment):
    """Set each coordinate to zero with probability ``rate``. The others are not rescaled."""

    def __init__(self, rate: float = 0.5, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        if not 0 <= rate <= 1:
            raise UserError(f'CoordinateDropout: rate is a probability, got {rate}')
        self.rate = rate

    def draw(self, x, generator):
        """Draw ``keep`` (N, C, T, V, M), bool."""
        return dict(keep=torch.rand(x.shape, generator=generator, device=x.device) >= self.rate)

    def apply(self, x, keep):
        return x * keep
