"""Projection to attention heads, queries and keys turned by an angle for each token (RoFormer, Su et al., 2021)."""
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmskelssl.ops.precision import widen
from mmskelssl.tracing import reads_values


def plain_rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the halves of the last axis against each other.

    Args:
        x: (..., L, D).
        turn: Cosine and sine, each broadcastable to ``x``. Both halves of their last axis are the same.
    """
    a, b = x.chunk(2, -1)
    return x * turn[0] + torch.cat([-b, a], -1) * turn[1]


def plain_heads(x: Tensor, layer: nn.Linear, heads: int, turn: tuple[Tensor, Tensor],
                rotated: int) -> tuple[Tensor, ...]:
    """Project tokens, and rotate the first parts of the result.

    Args:
        x: (P, L, D) tokens.
        layer: Projection to the channels of all parts, such as queries, keys and values, in this order.
        heads: Number of attention heads.
        turn: Cosine and sine, each (P or 1, 1, L, d). Both halves of their last axis are the same.
        rotated: Number of parts that turn.

    Returns:
        The parts, each (P, heads, L, d).
    """
    parts = layer(x).unflatten(2, (-1, heads, turn[0].shape[-1])).permute(2, 0, 3, 1, 4)
    return *(plain_rotate(part, turn) for part in parts[:rotated]), *parts[rotated:]


def heads_of(x: Tensor, layer: nn.Linear, heads: int, turn: tuple[Tensor, Tensor], rotated: int) -> tuple[Tensor, ...]:
    """Compute :func:`plain_heads`, on a CPU with one complex product for all rotated parts.

    The rows of the weights are put in the order in which the two numbers that turn together are neighbours, and so are
    the channels of the rotated parts. Products of queries and keys do not depend on that order. After a projection in
    half precision, the rotated parts are float32, which :func:`mmskelssl.ops.attention.attention` needs anyway.
    """
    if not reads_values(x) or turn[0].requires_grad:
        return plain_heads(x, layer, heads, turn, rotated)
    width = turn[0].shape[-1]
    weight, bias = (_Neighbours.apply(rows, rotated * heads * width, width // 2) for rows in (layer.weight, layer.bias))
    made = F.linear(x, weight, bias).unflatten(2, (-1, heads, width))
    cos, sin = (widen(part[..., :width // 2]).transpose(1, 2).unsqueeze(2) for part in turn)
    return _Rotate.apply(made, torch.complex(cos, sin), rotated)


class _Neighbours(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, count: int, half: int) -> Tensor:
        """Put rows i and i + ``half`` of each of the heads in the first ``count`` rows next to each other."""
        ctx.sizes = count, half
        made = rows.clone()
        made[:count].unflatten(0, (-1, half, 2)).copy_(rows[:count].unflatten(0, (-1, 2, half)).transpose(1, 2))
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        count, half = ctx.sizes
        made = grad.clone()
        made[:count].unflatten(0, (-1, 2, half)).copy_(grad[:count].unflatten(0, (-1, half, 2)).transpose(1, 2))
        return made, None, None


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, turn: Tensor, rotated: int) -> tuple[Tensor, ...]:
        """Split (P, L, parts, heads, d) into parts (P, heads, L, d). ``turn`` is (P or 1, L, 1, 1, d / 2), complex."""
        ctx.rotated, ctx.dtype = rotated, x.dtype
        ctx.save_for_backward(turn)
        turned = torch.view_as_real(_complex(widen(x[:, :, :rotated])) * turn).flatten(-2)
        return *turned.permute(2, 0, 3, 1, 4), *x[:, :, rotated:].permute(2, 0, 3, 1, 4)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        turn, = ctx.saved_tensors
        back = turn.conj()  # the opposite rotation
        p, heads, length, width = grads[0].shape
        made = torch.empty(p, length, len(grads), heads, width, dtype=ctx.dtype, device=turn.device)
        for i, grad in enumerate(grads):
            grad, part = grad.transpose(1, 2), made[:, :, i]
            if i >= ctx.rotated:
                part.copy_(grad)
            elif grad.dtype == ctx.dtype:
                torch.mul(_complex(grad.contiguous()), back.squeeze(2), out=_complex(part))
            else:
                part.copy_(torch.view_as_real(_complex(grad.contiguous()) * back.squeeze(2)).flatten(-2))
        return made, None, None


def _complex(x: Tensor) -> Tensor:
    """View neighbours in the last axis as complex numbers."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))
