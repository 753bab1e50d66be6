"""A small temporal convolutional encoder, the cheapest one that learns."""
from collections.abc import Sequence

from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.sequence import SequenceEncoder
from mmskelssl.models.checks import check_integer, check_switch
from mmskelssl.models.modules.norm import BatchNorm1d, norm_of_shown
from mmskelssl.registry import MODELS


@MODELS.register_module()
class TemporalConvNet(SequenceEncoder):
    """1-D convolutions with BN and ReLU over the frame vectors. Every second layer halves the length.

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        num_persons: Number of persons in a clip, as in :class:`SequenceEncoder`.
        channels: Output channels of each layer. The last value is the feature dimension.
        kernel: Kernel size in frames, odd.
        masked: Ignore joints that are zero throughout a clip, such as those that a store of a pool lacks. They do not
            affect the norm of the input, and are zero after it.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, num_persons: int = 1,
                 channels: tuple[int, ...] = (128, 128, 256, 256), kernel: int = 5, masked: bool = False,
                 init_cfg: dict | None = None):
        super().__init__(layout, in_channels, num_persons, init_cfg)
        if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
            raise UserError(f'backbone.channels is {channels!r}; it must be the output channels of each layer')
        for value in channels:
            check_integer('each of backbone.channels', value)
        check_integer('backbone.kernel', kernel)
        if kernel % 2 == 0:
            raise UserError(f'backbone.kernel is {kernel}; it must be odd')
        check_switch('backbone.masked', masked)
        self.out_channels, self.masked = channels[-1], masked
        layers: list[nn.Module] = [BatchNorm1d(self.frame_channels)]
        for i, (before, after) in enumerate(zip((self.frame_channels, *channels), channels, strict=False)):
            layers += [nn.Conv1d(before, after, kernel, 1 + i % 2, kernel // 2, bias=False), BatchNorm1d(after),
                       nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips (N, C, T, V, M) to maps (N, 1, D, T', 1). T is halved by every second layer.

        ``num_frames`` is not used.
        """
        frames = self.frames(x).transpose(1, 2)
        if self.masked:
            made = self.layers[1:](norm_of_shown(self.layers[0], frames, self.shown(x).unsqueeze(2)))
        else:
            made = self.layers(frames)
        return made.unsqueeze(1).unsqueeze(4)
