"""Bidirectional GRU over clips of different lengths (CRRL)."""
import torch
from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.sequence import SequenceEncoder
from mmskelssl.ops.grouped_gru import bidirectional_gru
from mmskelssl.ops.precision import without_autocast
from mmskelssl.registry import MODELS


@MODELS.register_module()
class BiGRU(SequenceEncoder):
    """Two layers of bidirectional GRU by default; padding is never seen (docs/methods.md 3.2).

    Args:
        hidden_channels: Units a direction; a frame's feature has twice as many.
        num_layers: Layers.
        dropout: Between layers.
    """
    variable_length = True

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, num_persons: int = 1,
                 hidden_channels: int = 256, num_layers: int = 2, dropout: float = 0.2, init_cfg: dict | None = None):
        super().__init__(layout, in_channels, num_persons, init_cfg)
        self.out_channels = 2 * hidden_channels
        self.gru = nn.GRU(self.frame_channels, hidden_channels, num_layers, batch_first=True, bidirectional=True,
                          dropout=dropout if num_layers > 1 else 0.)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: (N,) real frames of each clip, 1 to T; default all.

        Returns:
            (N, 1, D, T, 1), zero beyond a clip's end.
        """
        frames = self.frames(x).to(self.gru.weight_ih_l0.dtype)
        lengths = None if num_frames is None else num_frames.cpu()  # packing and grouping count on the host
        if lengths is not None and (lengths.min() < 1 or lengths.max() > x.shape[2]):
            worst = int(((lengths < 1) | (lengths > x.shape[2])).to(torch.uint8).argmax())
            raise UserError(f'clip {worst} of the batch has num_frames {int(lengths[worst])}, outside 1..{x.shape[2]}')
        # Autocast runs cuDNN's recurrences in float16 whatever type was asked for, and small gradients vanish in that.
        with without_autocast(x):
            if lengths is None or lengths.min() == x.shape[2]:
                states, _ = self.gru(frames)
            else:
                states = bidirectional_gru(self.gru, frames, lengths)
        return states.transpose(1, 2).unsqueeze(1).unsqueeze(4)
