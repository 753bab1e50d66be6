"""Base class of sequence encoders, which treat a frame as one vector of all joints and persons."""
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.base import SkeletonBackbone
from mmskelssl.models.checks import check_integer


class SequenceEncoder(SkeletonBackbone):
    """Base class of encoders along time. Their feature map has one person and one joint: (N, 1, D, T', 1).

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        num_persons: Number of persons in a clip. Their vectors are concatenated in the order of the store.

    Attributes:
        num_persons: The same, or None for an encoder that takes each person as a clip of its own.
    """
    maps_joints = False

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, num_persons: int = 1,
                 init_cfg: dict | None = None):
        super().__init__(layout, in_channels, init_cfg)
        check_integer('backbone.num_persons', num_persons)
        self.num_persons: int | None = num_persons
        self.frame_channels = num_persons * self.layout.num_joints * in_channels

    def frames(self, x: Tensor) -> Tensor:
        """Reshape clips (N, C, T, V, M) to frame vectors (N, T, M * V * C)."""
        n, c, t, v, m = x.shape
        persons = self.num_persons or 1
        if (c, v, m) != (self.in_channels, self.layout.num_joints, persons):
            raise UserError(f'the clips have {m} persons of {v} joints of {c} channels, but the backbone is built for '
                            f'{persons} of {self.layout.num_joints} ({self.layout.name!r}) of '
                            f'{self.in_channels}: set backbone.num_persons to that of SelectPersons, and layout and '
                            'in_channels to match the store')
        if not n:
            raise UserError('the batch contains no clips')
        return x.permute(0, 2, 4, 3, 1).reshape(n, t, -1)

    def shown(self, x: Tensor) -> Tensor:
        """Return (N, M * V * C) bool: the entries of frame vectors whose joint is not zero throughout the clip."""
        there = (x != 0).any(2).any(1)  # (N, V, M)
        return there.transpose(1, 2).flatten(1).repeat_interleave(self.in_channels, 1)
