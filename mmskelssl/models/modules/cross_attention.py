"""A transformer block whose tokens attend to other tokens."""
from torch import Tensor, nn

from mmskelssl.ops.attention import attention
from mmskelssl.ops.rotary import heads_of


class CrossBlock(nn.Module):
    """Pre-norm block of cross-attention, with rotary time, and an MLP."""

    def __init__(self, channels: int, heads: int, mlp_ratio: float):
        super().__init__()
        hidden = int(channels * mlp_ratio)
        self.heads = heads
        self.norm1, self.norm2, self.norm_known = (nn.LayerNorm(channels, 1e-6) for _ in range(3))
        self.query, self.known = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], known: Tensor, known_turn: tuple[Tensor, Tensor],
                visible: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: (P, L, D) tokens that attend.
            turn: Cosine and sine, each (P or 1, 1, L, D / heads), of the rotations of the queries.
            known: (P, K, D) tokens that are attended to.
            known_turn: The same of the rotations of the keys.
            visible: (P, 1, 1, K) bool, the known tokens that may be attended to. None stands for all.

        Returns:
            (P, L, D).
        """
        q, = heads_of(self.norm1(x), self.query, self.heads, turn, rotated=1)
        k, v = heads_of(self.norm_known(known), self.known, self.heads, known_turn, rotated=1)
        x = x + self.out(attention(q, k, v, visible).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))
