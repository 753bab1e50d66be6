"""CRRL's two stages (docs/methods.md 3.2, 3.3): packed GRUs, forward and reverse reconstruction one after the other."""
import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def run_packed(gru: nn.GRU, x: Tensor, lengths: Tensor) -> Tensor:
    """(B, L, F) sorted by length -> (B, longest, D) by a packed sequence (docs/methods.md 3.1, 3.2)."""
    return pad_packed_sequence(gru(pack_padded_sequence(x, lengths, batch_first=True))[0], batch_first=True)[0]


def average(states: Tensor, lengths: Tensor) -> Tensor:
    """Temporal average over valid frames (docs/methods.md 3.2)."""
    return states.sum(1) / lengths[:, None]


class PlainMotion(nn.Module):
    """Stage 1: coordinates against velocity, a fixed random key head, a short queue (docs/methods.md 3.3)."""

    def __init__(self, model):
        super().__init__()
        self.gru, self.head = copy.deepcopy(model.backbone.gru), copy.deepcopy(model.projector.mlp)
        self.key_gru = copy.deepcopy(self.gru).requires_grad_(False)
        self.key_head = copy.deepcopy(model.key_encoder.projector.mlp)
        self.register_buffer('queue', model.queue.keys.t().contiguous())
        self.momentum, self.temperature = model.key_encoder.momentum, model.temperature

    def forward(self, frames: Tensor, velocity: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, F) coordinates and frame differences, sorted by length."""
        with torch.no_grad():
            for q, k in zip(self.gru.parameters(), self.key_gru.parameters(), strict=True):
                k.mul_(self.momentum).add_(q, alpha=1 - self.momentum)
        query = F.normalize(self.head(average(run_packed(self.gru, frames, lengths), lengths)), dim=1)
        with torch.no_grad():
            key = F.normalize(self.key_head(average(run_packed(self.key_gru, velocity, lengths), lengths)), dim=1)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ self.queue.clone()], 1) / self.temperature
        with torch.no_grad():
            self.queue.copy_(torch.cat([key.t(), self.queue], 1)[:, :self.queue.shape[1]])
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))


class PlainFusion(nn.Module):
    """Stage 2: reconstruction in both directions, and distillation from stage 1's encoder (docs/methods.md 3.3)."""

    def __init__(self, model):
        super().__init__()
        self.gru, self.decoder = copy.deepcopy(model.backbone.gru), copy.deepcopy(model.decoder.gru)
        self.teacher, self.head = copy.deepcopy(model.teacher.gru), copy.deepcopy(model.head.mlp)
        self.weight = model.distill_weight

    def forward(self, frames: Tensor, backwards: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, F) coordinates and the same clips reversed in time, both sorted by length and padded."""
        states = run_packed(self.gru, frames, lengths)
        longest, last = states.shape[1], states[torch.arange(len(states)), lengths - 1]
        loss = 0.
        for end, target in ((states[:, 0], frames), (last, backwards)):
            made = run_packed(self.decoder, end[:, None].expand(-1, longest, -1), lengths)
            valid = torch.arange(longest) < lengths[:, None]
            error = ((made - target[:, :longest]) * valid[..., None]).square().sum((1, 2))
            loss = loss + (error / lengths).mean()
        with torch.no_grad():
            wanted = average(run_packed(self.teacher, frames, lengths), lengths)
        return loss + self.weight * (wanted - self.head(average(states, lengths))).square().sum(1).mean()
