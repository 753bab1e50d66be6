"""Bidirectional GRU over clips of different lengths (CRRL)."""
import torch
from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.sequence import SequenceEncoder
from mmskelssl.models.checks import check_integer, check_number
from mmskelssl.ops.exported_gru import run_gru
from mmskelssl.ops.grouped_gru import bidirectional_gru
from mmskelssl.ops.precision import without_autocast
from mmskelssl.registry import MODELS
from mmskelssl.tracing import exporting, reads_values


@MODELS.register_module()
class BiGRU(SequenceEncoder):
    """Bidirectional GRU with two layers by default. Padding never affects the result (docs/methods.md 3.2).

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        num_persons: Number of persons in a clip, as in :class:`SequenceEncoder`.
        hidden_channels: Number of units per direction. The feature of a frame is twice as long.
        num_layers: Number of layers.
        dropout: Dropout rate between layers.
    """
    variable_length = True

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, num_persons: int = 1,
                 hidden_channels: int = 256, num_layers: int = 2, dropout: float = 0.2, init_cfg: dict | None = None):
        super().__init__(layout, in_channels, num_persons, init_cfg)
        check_integer('backbone.hidden_channels', hidden_channels)
        check_integer('backbone.num_layers', num_layers)
        check_number('backbone.dropout', dropout, 0, below=1)
        self.out_channels = 2 * hidden_channels
        self.gru = nn.GRU(self.frame_channels, hidden_channels, num_layers, batch_first=True, bidirectional=True,
                          dropout=dropout if num_layers > 1 else 0.)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: (N,) number of real frames of each clip, 1 to T. By default, all frames are real.

        Returns:
            (N, 1, D, T, 1), zero after a clip's last real frame.

        Raises:
            UserError: If ``num_frames`` is outside 1 to T. On a device, this is a RuntimeError of a later operation.
        """
        frames = self.frames(x).to(self.gru.weight_ih_l0.dtype)  # type: ignore[arg-type]  # nn.GRU does not declare it
        if exporting():
            real = frames.new_full((len(x),), x.shape[2], dtype=torch.long) if num_frames is None else num_frames
            return run_gru(self.gru, frames, real).transpose(1, 2).unsqueeze(1).unsqueeze(4)
        # Autocast runs cuDNN's recurrences in float16 regardless of the requested type, where small gradients vanish.
        with without_autocast(x):
            if num_frames is None:
                states, _ = self.gru(frames)
            elif reads_values(x):
                states = self._by_length(frames, num_frames)
            else:
                num_frames = num_frames.to(x.device)
                sound = (num_frames >= 1) & (num_frames <= x.shape[2])
                torch._assert_async(sound.all(), 'num_frames is outside 1..T')
                states = bidirectional_gru(self.gru, frames, num_frames)
        return states.transpose(1, 2).unsqueeze(1).unsqueeze(4)

    def _by_length(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return the states (N, T, D) of frame vectors (N, T, F), of which the first ``lengths`` are real."""
        longest = frames.shape[1]
        if lengths.min() < 1 or lengths.max() > longest:
            worst = int(((lengths < 1) | (lengths > longest)).to(torch.uint8).argmax())
            raise UserError(f'clip {worst} of the batch has num_frames {int(lengths[worst])}, outside 1..{longest}')
        return self.gru(frames)[0] if lengths.min() == longest else bidirectional_gru(self.gru, frames, lengths)
