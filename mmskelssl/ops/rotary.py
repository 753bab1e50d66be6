"""Rotation of queries and keys by an angle for each token (RoFormer, Su et al., 2021)."""
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmskelssl.tracing import reads_values


def plain_rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the halves of the last axis against each other.

    Args:
        x: (..., L, D).
        turn: Cosine and sine, each broadcastable to ``x``. Both halves of their last axis are the same.
    """
    a, b = x.chunk(2, -1)
    return x * turn[0] + torch.cat([-b, a], -1) * turn[1]


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Compute :func:`plain_rotate` on a CPU without temporary tensors, also in the backward pass."""
    if reads_values(x) and x.dtype == turn[0].dtype and not turn[0].requires_grad:
        half = x.shape[-1] // 2
        return _Rotate.apply(x, turn[0][..., :half], turn[1][..., :half])
    return plain_rotate(x, turn)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, sin, -1), None, None  # the opposite rotation


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    for part, (a, b), side in zip(out.chunk(2, -1), (x.chunk(2, -1), x.chunk(2, -1)[::-1]), (-sign, sign), strict=True):
        torch.mul(a, cos, out=part).addcmul_(b, sin, value=side)
    return out
