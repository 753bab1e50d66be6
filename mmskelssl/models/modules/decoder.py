"""Sequence decoder (CRRL, section on the sequence reconstructor): a movement from one state."""
from torch import Tensor, nn

from mmskelssl.ops.grouped_gru import run_by_length
from mmskelssl.ops.precision import without_autocast


class SequenceDecoder(nn.Module):
    """A GRU that gets the same vector at every step and whose states are the frames (docs/methods.md 3.2, 3.3).

    There is no previous frame among its inputs, so nothing can be copied. States lie in (-1, 1): so must the targets.

    Args:
        in_channels: D of the vector.
        frame_channels: Coordinates of a frame, which is also the width of the GRU.
        num_layers: Layers.
    """

    def __init__(self, in_channels: int, frame_channels: int, num_layers: int = 2):
        super().__init__()
        self.gru = nn.GRU(in_channels, frame_channels, num_layers, batch_first=True)

    def forward(self, state: Tensor, num_frames: Tensor) -> Tensor:
        """(N, D) and the lengths (N,) of the sequences to make -> (N, longest, frame_channels), zero beyond each."""
        lengths = num_frames.cpu()
        with without_autocast(state):  # as in BiGRU
            return run_by_length(lambda rows, _, longest: self.gru(rows.unsqueeze(1).expand(-1, longest, -1))[0],
                                 state.to(self.gru.weight_ih_l0.dtype), lengths, int(lengths.max()))
