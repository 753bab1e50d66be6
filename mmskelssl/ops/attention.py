"""Attention whose arithmetic on a CPU is float32."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.ops.precision import widen, without_autocast


def attention(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
    """Compute ``F.scaled_dot_product_attention``, on a CPU in float32 instead of half precision.

    torch's kernel for bfloat16 on CPUs takes four times as long backward, also with AMX (torch 2.13), and is no faster
    forward.

    Args:
        q, k, v: (P, heads, L, D / heads). On a CPU, only the values may be in half precision.
        visible: Bool, which broadcasts to (P, heads, L, L). None stands for all true.
    """
    if v.dtype not in (torch.bfloat16, torch.float16) or v.device.type != 'cpu':
        return F.scaled_dot_product_attention(q, k, v, visible)
    with without_autocast(v):
        return F.scaled_dot_product_attention(widen(q), widen(k), widen(v), visible).to(v.dtype)
