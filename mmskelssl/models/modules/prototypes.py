"""Prototypes: the heads and the assignments of self-distillation (DINO, iBOT)."""
from itertools import pairwise

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.models.checks import check_integer
from mmskelssl.ops.precision import full_precision, widen


class PrototypeHead(nn.Module):
    """MLP to a short normalised embedding, followed by its similarities to prototypes (DINO, Caron et al., ICCV 2021).

    The prototypes are a linear layer with weight normalisation: a unit vector and a learnt gain for each prototype.

    Args:
        in_channels: Width of the input.
        hidden_channels: Width of the hidden layers, which have GELU.
        bottleneck_channels: Length E of the embedding.
        prototypes: Number of prototypes, K.
        layers: Number of linear layers of the MLP.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 2048, bottleneck_channels: int = 256,
                 prototypes: int = 65536, layers: int = 3):
        super().__init__()
        for name, value in (('hidden_channels', hidden_channels), ('bottleneck_channels', bottleneck_channels),
                            ('prototypes', prototypes), ('layers', layers)):
            check_integer(f'head.{name}', value)
        self.mlp = nn.Sequential()
        for before, after in pairwise([in_channels, *[hidden_channels] * (layers - 1)]):
            self.mlp.extend([nn.Linear(before, after), nn.GELU()])
        self.mlp.append(nn.Linear(hidden_channels if layers > 1 else in_channels, bottleneck_channels))
        self.directions = nn.Parameter(torch.empty(prototypes, bottleneck_channels))
        self.gains = nn.Parameter(torch.ones(prototypes, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialise the weights from N(0, 0.02), truncated, with zero biases and gains of 1."""
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=.02)
                nn.init.zeros_(layer.bias)
        nn.init.trunc_normal_(self.directions, std=.02)
        nn.init.ones_(self.gains)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Return the similarities (N, K) of inputs (N, in_channels). See :meth:`compare` for ``frozen``."""
        return self.compare(self.embed(x), frozen)

    def embed(self, x: Tensor) -> Tensor:
        """Return the L2-normalised embeddings (N, E) of inputs (N, in_channels)."""
        return F.normalize(widen(self.mlp(x)), dim=1)

    def compare(self, embeddings: Tensor, frozen: bool = False) -> Tensor:
        """Return the similarities (N, K) of embeddings (N, E) to the prototypes.

        Args:
            embeddings: (N, E), L2-normalised.
            frozen: Give the prototypes zero gradients. They are not left without gradients, because other processes
                would wait for them.
        """
        parts = [self.directions, self.gains]
        return similarities(embeddings, *(part.detach() + 0 * part if frozen else part for part in parts))


@full_precision
def similarities(embeddings: Tensor, directions: Tensor, gains: Tensor) -> Tensor:
    """Return the products (N, K) of embeddings (N, E) with the unit vectors along directions (K, E), times gains."""
    return F.linear(embeddings, gains * F.normalize(directions, dim=1))


@torch.no_grad()
@full_precision
def sinkhorn(similarity: Tensor, temperature: float, counts: Tensor | None = None, iterations: int = 3) -> Tensor:
    """Assign samples to prototypes so that all prototypes receive about the same total (SwAV; DINOv2).

    exp(similarity / temperature) is divided in turn by the sums of the prototypes and by the sums of the samples. The
    sums of the prototypes include the samples of all ranks.

    Args:
        similarity: (N, K).
        temperature: Divisor of the similarities. Assignments are sharp if it is low.
        counts: (N,) bool, samples that count in the sums of the prototypes. By default, all do.
        iterations: Number of divisions by each kind of sums.

    Returns:
        (N, K). The rows sum to 1.
    """
    scaled = similarity / temperature
    # Subtract a common number, which cancels in the first division, to prevent an overflow.
    largest = scaled.amax() if scaled.numel() else scaled.new_zeros(())
    if get_world_size() > 1:
        all_reduce(largest, 'max')
    shares = (scaled - largest).exp()
    for _ in range(iterations):
        totals = (shares if counts is None else shares * counts.unsqueeze(1)).sum(0, keepdim=True)
        if get_world_size() > 1:
            all_reduce(totals)
        # The smallest normal number instead of 0, for a prototype that is far from all samples.
        shares = shares / totals.clamp(min=torch.finfo(totals.dtype).tiny)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=torch.finfo(totals.dtype).tiny)
    return shares


@torch.no_grad()
@full_precision
def assignment_entropy(similarity: Tensor, temperature: float) -> Tensor:
    """Return the entropy, in nats, of the mean assignment softmax(similarity / temperature) of samples (N, K).

    It is log K if all prototypes are used equally, and 0 if all samples belong to one. Assignments from
    :func:`sinkhorn` would not show this, because they are balanced by construction.
    """
    mean = F.softmax(similarity / temperature, 1).mean(0)
    return -torch.special.xlogy(mean, mean).sum()
