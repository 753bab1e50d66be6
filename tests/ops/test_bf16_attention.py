"""Attention in bfloat16 is computed in float32 on a CPU."""
import torch
from torch.nn import functional as F

from mmskelssl.ops.attention import attention


def test_bfloat16_becomes_float32_inside():
    q, k, v = torch.randn(3, 2, 2, 5, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    visible = torch.tensor([True, True, False, True, True]).view(1, 1, 1, 5)
    with torch.autocast('cpu', torch.bfloat16):
        made = attention(q, k, v, visible)
    assert torch.equal(made, F.scaled_dot_product_attention(q.float(), k.float(), v.float(), visible).bfloat16())
    assert attention(q.double(), k.double(), v.double(), None).dtype == torch.float64
