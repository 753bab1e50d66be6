"""Dropout that costs one random bit an element where it can."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """``nn.Dropout`` with a cheap CPU path for p = 0.5, the papers' value.

    Drawing a Bernoulli variable an element takes about a sixth of ST-GCN's training time on a CPU; sixty-four
    of them come with one random integer. Same distribution, another random stream. On a GPU, and in compiled code, the
    fused kernel of torch is used as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.p != 0.5 or x.device.type != 'cpu' or torch.compiler.is_compiling():
            return F.dropout(x, self.p, True)
        return x * _coin_flips(x)


def _coin_flips(x: Tensor) -> Tensor:
    """A tensor like ``x`` (memory layout included) of 0 and 2 with equal chance."""
    words = torch.empty((x.numel() + 63) // 64, dtype=torch.int64).random_(-2**63, None)
    mask = _table(x.dtype).index_select(0, words.view(torch.uint8).int()).view(-1)[:x.numel()]
    # An elementwise product with a mask of another memory layout would be slow: give it x's own strides.
    return mask.as_strided(x.shape, x.stride()) if _dense(x) else mask.view(x.shape)


def _dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


_TABLES: dict[torch.dtype, Tensor] = {}


def _table(dtype: torch.dtype) -> Tensor:
    """(256, 8): the eight bits of a byte, as 0 and 2."""
    if dtype not in _TABLES:
        byte = torch.arange(256)
        _TABLES[dtype] = (byte[:, None] >> torch.arange(8) & 1).mul(2).to(dtype)
    return _TABLES[dtype]
