"""Bidirectional GRU over clips of different lengths (CRRL)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.sequence import SequenceEncoder
from mmskelssl.models.modules.lengths import full_precision, reverse, run_by_length
from mmskelssl.registry import MODELS


@MODELS.register_module()
class BiGRU(SequenceEncoder):
    """Two layers of bidirectional GRU by default, on packed sequences: padding is never seen (docs/methods.md 3.2).

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
        with full_precision(x):
            if lengths is None or lengths.min() == x.shape[2]:
                states, _ = self.gru(frames)
            elif torch.is_grad_enabled() and not x.is_cuda:
                states = run_by_length(self.run, frames, lengths, x.shape[2])
            else:
                packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
                states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[2])
        return states.transpose(1, 2).unsqueeze(1).unsqueeze(4)

    def run(self, frames: Tensor, lengths: Tensor, longest: int) -> Tensor:
        """What the GRU makes of the packed sequences, without packing: (N, T, F) -> (N, longest, D).

        The backward direction starts at each row's own end, so its rows are turned round first. What stands beyond a
        row's end is garbage.
        """
        beyond = torch.arange(longest, device=frames.device) >= lengths.unsqueeze(1)
        x = frames[:, :longest].masked_fill(beyond.unsqueeze(2), 0.)  # not even NaN there reaches a weight's gradient
        for layer in range(self.gru.num_layers):
            if layer and self.gru.dropout:
                x = F.dropout(x, self.gru.dropout, self.training)
            x = torch.cat([self._direction(x, f'l{layer}'),
                           reverse(self._direction(reverse(x, lengths), f'l{layer}_reverse'), lengths)], 2)
        return x

    def _direction(self, x: Tensor, suffix: str) -> Tensor:
        weights = [getattr(self.gru, f'{name}_{suffix}') for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')]
        start = x.new_zeros(1, len(x), self.gru.hidden_size)
        return torch.gru(x, start, weights, True, 1, 0., self.training, False, True)[0]
