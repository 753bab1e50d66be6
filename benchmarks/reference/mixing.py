"""ActCLR's mixing, style transfer, blending (docs/methods.md 1.3, steps 6 to 8; joint stream), by clones and loops."""
import torch
from torch import Tensor
from torch.nn import functional as F


def upsample(mask: Tensor, x: Tensor) -> Tensor:
    """(N * M, 1, T', V) mask -> (N, 1, T, V, M), bilinear with aligned corners (1.3 step 6)."""
    n, _, t, v, m = x.shape
    return F.interpolate(mask, (t, v), mode='bilinear', align_corners=True).view(n, m, 1, t, v).permute(0, 2, 3, 4, 1)


def blend(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """The actionlet from one clip, the rest from another (1.3 step 6)."""
    mask = upsample(mask, inside)
    return mask * inside + (1 - mask) * outside


def transfer_style(x: Tensor, shift: int, parents: list[int], order: list[int]) -> Tensor:
    """Each bone takes the partner's length, joint by joint outwards from the root (1.3 step 7, joint stream)."""
    partner, out = x[torch.arange(len(x)).roll(-shift)], x.clone()
    for joint in order[1:]:
        parent = parents[joint]
        bone, other = x[:, :, :, joint] - x[:, :, :, parent], partner[:, :, :, joint] - partner[:, :, :, parent]
        length, wanted = ((b.square().sum(1, keepdim=True) + 1e-5).sqrt() for b in (bone, other))
        out[:, :, :, joint] = out[:, :, :, parent] + bone / length * wanted
    return out


def mix(x: Tensor, plan, parts: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """A mixed batch and, on the grid of time cells, what was pasted and what was removed (1.3, Mix).

    Args:
        plan: shift, kind, parts, start, length, cell, lam.
        parts: Joints of each body part.
    """
    n, _, t, v, _ = x.shape
    partner, cells = x[torch.arange(n).roll(-plan.shift)], -(-t // plan.cell)
    pasted, replaced = x.new_zeros(cells, v), x.new_zeros(cells, v)
    if plan.kind == 'mixup':
        return (1 - plan.lam) * x + plan.lam * partner, pasted + plan.lam, replaced + plan.lam
    out, joints = x.clone(), [joint for part in plan.parts for joint in parts[part]]
    begin, end = plan.start * plan.cell, min((plan.start + plan.length) * plan.cell, t)
    source = torch.arange(begin, end)
    if plan.kind == 'resizemix':
        span = end - begin
        source = torch.arange(span) * min(2 * span, t) // span
    for joint in joints:
        out[:, :, begin:end, joint] = partner[:, :, source, joint]
    replaced[plan.start:plan.start + plan.length, joints] = 1
    pasted[slice(None) if plan.kind == 'resizemix' else slice(plan.start, plan.start + plan.length), joints] = 1
    return out, pasted, replaced
