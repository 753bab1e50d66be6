"""Sequence decoder (CRRL, section on the sequence reconstructor): a movement from one state."""
from torch import Tensor, nn


class SequenceDecoder(nn.Module):
    """A GRU that gets the same vector at every step and whose states are the frames (methods.md 3.2, 3.3).

    There is no previous frame among its inputs, so nothing can be copied. States lie in (-1, 1): so must the targets.

    Args:
        in_channels: D of the vector.
        frame_channels: Coordinates of a frame, which is also the width of the GRU.
        num_layers: Layers.
    """

    def __init__(self, in_channels: int, frame_channels: int, num_layers: int = 2):
        super().__init__()
        self.gru = nn.GRU(in_channels, frame_channels, num_layers, batch_first=True)

    def forward(self, state: Tensor, frames: int) -> Tensor:
        """(N, D) -> (N, T, frame_channels)."""
        return self.gru(state.unsqueeze(1).expand(-1, frames, -1))[0]
