"""Dropout that draws only one random bit per element for p = 0.5."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """``nn.Dropout`` implemented with :func:`dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """``F.dropout`` with a fast CPU path for p = 0.5, the value used in the papers.

    On a CPU, drawing one Bernoulli variable per element takes about a sixth of ST-GCN's training time. One random
    integer provides 64 of them. The distribution is the same, but the random stream differs. On a GPU and in compiled
    code, torch's fused kernel is used.
    """
    if not training or p == 0:
        return x
    if p != 0.5 or x.device.type != 'cpu' or torch.compiler.is_compiling():
        return F.dropout(x, p, True)
    words = torch.empty((x.numel() + 63) // 64, dtype=torch.int64).random_(-2**63, None)
    return x * coin_flips(words, x)


def plain_coin_flips(words: Tensor, x: Tensor) -> Tensor:
    """Return a tensor like ``x``: the bits of ``words`` (int64, 64 elements each) times two, in x's memory order."""
    bits = (words.unsqueeze(1) >> torch.arange(64) & 1).flatten()[:x.numel()]
    return _as_in_memory(2 * bits.to(x.dtype), x)


def coin_flips(words: Tensor, x: Tensor) -> Tensor:
    """Compute :func:`plain_coin_flips` with a lookup table of the 256 byte values."""
    return _as_in_memory(_table(x.dtype).index_select(0, words.view(torch.uint8).int()).view(-1)[:x.numel()], x)


def _as_in_memory(flat: Tensor, x: Tensor) -> Tensor:
    # Elementwise multiplication with a mask in another memory layout would be slow, so the mask uses the strides of x.
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return flat.as_strided(x.shape, x.stride()) if dense else flat.view(x.shape)


_TABLES: dict[torch.dtype, Tensor] = {}


def _table(dtype: torch.dtype) -> Tensor:
    """Return a table (256, 8) of the eight bits of each byte value, as 0 and 2."""
    if dtype not in _TABLES:
        byte = torch.arange(256)
        _TABLES[dtype] = (byte[:, None] >> torch.arange(8) & 1).mul(2).to(dtype)
    return _TABLES[dtype]
