"""Sequence decoder (CRRL, section on the sequence reconstructor): decodes a sequence from a single state."""
from torch import Tensor, nn

from mmskelssl.ops.grouped_gru import run_by_length
from mmskelssl.ops.precision import without_autocast


class SequenceDecoder(nn.Module):
    """A GRU that receives the same vector at every step. Its states are the frames (docs/methods.md 3.2, 3.3).

    The previous frame is not an input, so the decoder cannot copy it. States lie in (-1, 1). The targets must lie in
    the same range.

    Args:
        in_channels: D of the vector.
        frame_channels: Number of coordinates of a frame. It is also the width of the GRU.
        num_layers: Number of layers.
    """

    def __init__(self, in_channels: int, frame_channels: int, num_layers: int = 2):
        super().__init__()
        self.gru = nn.GRU(in_channels, frame_channels, num_layers, batch_first=True)

    def forward(self, state: Tensor, num_frames: Tensor, longest: int | None = None) -> Tensor:
        """Decode sequences.

        Args:
            state: (N, D).
            num_frames: (N,) lengths of the sequences.
            longest: Length of the result, at least that of the longest sequence, which is the default.

        Returns:
            (N, longest, frame_channels), zero after the end of each sequence.
        """
        longest = int(num_frames.max()) if longest is None else longest
        with without_autocast(state):  # as in BiGRU
            state = state.to(self.gru.weight_ih_l0.dtype)  # type: ignore[arg-type]  # nn.GRU does not declare it
            return run_by_length(lambda rows, _, longest: self.gru(rows.unsqueeze(1).expand(-1, longest, -1))[0],
                                 state, num_frames, longest)
