"""A small temporal convolutional encoder, the cheapest one that learns."""
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.sequence import SequenceEncoder
from mmskelssl.models.checks import check_integer, check_switch
from mmskelssl.models.modules.norm import BatchNorm1d, apply_to_rows, norm_of_shown
from mmskelssl.ops.absent import encode_present
from mmskelssl.registry import MODELS


@MODELS.register_module()
class TemporalConvNet(SequenceEncoder):
    """1-D convolutions with BN and ReLU over the frame vectors. Every second layer halves the length.

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        num_persons: Number of persons in a clip, as in :class:`SequenceEncoder`. With ``each``, the persons of a clip
            are encoded separately by the same weights, so that clips may have any number of them.
        channels: Output channels of each layer. The last value is the feature dimension.
        kernel: Kernel size in frames, odd.
        masked: Ignore joints that are zero throughout a clip, such as those that a store of a pool lacks. They do not
            affect the norm of the input, and are zero after it.
        separate_joints: Convolve each joint of each person by itself. ``channels`` are then those of one joint, and
            the feature dimension is the last value times the number of joints. A linear probe can then tell how each
            joint moves, whatever the others do, such as the style in which an unseen action is performed.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, num_persons: int | str = 1,
                 channels: tuple[int, ...] = (128, 128, 256, 256), kernel: int = 5, masked: bool = False,
                 separate_joints: bool = False, init_cfg: dict | None = None):
        if isinstance(num_persons, str) and num_persons != 'each':
            raise UserError(f"backbone.num_persons is {num_persons!r}; it must be a number or 'each'")
        super().__init__(layout, in_channels, 1 if isinstance(num_persons, str) else num_persons, init_cfg)
        if num_persons == 'each':
            self.num_persons = None
        if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
            raise UserError(f'backbone.channels is {channels!r}; it must be the output channels of each layer')
        for value in channels:
            check_integer('each of backbone.channels', value)
        check_integer('backbone.kernel', kernel)
        if kernel % 2 == 0:
            raise UserError(f'backbone.kernel is {kernel}; it must be odd')
        check_switch('backbone.masked', masked)
        check_switch('backbone.separate_joints', separate_joints)
        groups = self.frame_channels // in_channels if separate_joints else 1
        widths = [self.frame_channels, *(groups * value for value in channels)]
        self.out_channels, self.masked = widths[-1], masked
        layers: list[nn.Module] = [BatchNorm1d(widths[0])]
        for i, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Conv1d(before, after, kernel, 1 + i % 2, kernel // 2, groups=groups, bias=False),
                       BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips (N, C, T, V, M) to maps (N, M', D, T', 1). T is halved by every second layer.

        M' is 1, or M if persons are encoded separately. The maps of absent persons (all zeros) are then zero.
        ``num_frames`` is not used.
        """
        if self.num_persons is not None:
            return self.encode(x).unsqueeze(1)
        persons = x.permute(0, 4, 1, 2, 3).flatten(0, 1).unsqueeze(4)
        made = encode_present(self.encode, persons) if x.shape[4] > 1 else self.encode(persons)
        return made.unflatten(0, (x.shape[0], x.shape[4]))

    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the maps (P, D, T', 1) of clips (P, C, T, V, M). Batch statistics are those of ``rows`` (P,)."""
        made = self.frames(x).transpose(1, 2)
        for i, layer in enumerate(self.layers):
            if i == 0 and self.masked:
                made = norm_of_shown(layer, made, self.shown(x).unsqueeze(2), rows)
            else:
                made = apply_to_rows(layer, made, rows)
        return made.unsqueeze(3)
