"""Actionlets (ActCLR, CVPR 2023, sections 3.2 and 3.3): where a clip differs from the static anchor."""
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.augment.tree import part_members
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.ops.constants import constant
from mmskelssl.ops.precision import widen, without_autocast

# The published code divides by this value and then clips at 1. The value thus acts as the threshold of an actionlet.
PUBLISHED_THRESHOLD = 1e-8


def actionlet_mask(features: Tensor, projector: Callable[[Tensor], Tensor], anchor: Tensor, layout: SkeletonLayout,
                   threshold: str = 'published', pooled: Tensor | None = None) -> Tensor:
    """Compute a soft mask of the joints and frames that distinguish a clip from the anchor.

    The channels of the map are weighted by the gradient of ``1 - cos(projector(pool(features)), anchor)``. No backward
    pass over the map is needed, because the mean distributes the gradient of the pooled feature evenly over the map.
    The cosine is computed over the feature axis. The official head of December 2024 computes it over an axis of length
    one, which makes the mask vanish.

    Args:
        features: (N, M, D, T', V) feature map.
        projector: Maps the pooled feature (N, D) to the embedding (N, E).
        anchor: (1, E) embedding of the static clip.
        layout: Skeleton layout with body parts.
        threshold: ``published`` scales with 1/N, so the mask depends on the batch size. ``relative`` compares with the
            clip's own mean response and does not depend on it.
        pooled: (N, D or more) input of the projector. By default, the map's mean. Values after the first D, such as
            the map's maximum, are treated as constants because they have no position on the map.

    Returns:
        (N, M, T', V) mask in [0, 1], without gradient. The joints of a body part share one value per frame.

    Raises:
        UserError: If the feature map has no joints, the layout has no body parts or the threshold is unknown.
    """
    features = widen(features.detach())
    if features.shape[4] != layout.num_joints:
        raise UserError('an actionlet needs a feature map over joints; this backbone has none (a sequence encoder): '
                        "use STGCN, or mask='ones'")
    _, m, d, t, v = features.shape
    pooled = features.mean((3, 4)).mean(1) if pooled is None else pooled.detach()
    anchor = anchor.to(pooled.dtype).detach()

    def distance(pooled: Tensor) -> Tensor:
        return (1 - F.cosine_similarity(projector(pooled), anchor, dim=1)).mean()
    with torch.enable_grad(), without_autocast(features):
        if torch.compiler.is_compiling():  # which cannot follow torch.autograd.grad
            gradient = torch.func.grad(distance)(pooled)
        else:
            pooled.requires_grad_()
            gradient, = torch.autograd.grad(distance(pooled), pooled)
    weights = gradient[:, :d] / (m * t * v)
    raw = torch.einsum('nd,nmdtv->nmtv', weights, features).div(features.shape[2]).relu()
    by_part = pool_parts(raw, layout)
    if threshold == 'published':
        return (by_part / PUBLISHED_THRESHOLD).clamp(0, 1)
    if threshold == 'relative':
        return (by_part / by_part.mean((2, 3), keepdim=True).clamp_min(torch.finfo(by_part.dtype).tiny)).clamp(0, 1)
    raise UserError(f"threshold must be 'published' or 'relative', not {threshold!r}")


def pool_parts(x: Tensor, layout: SkeletonLayout) -> Tensor:
    """Replace each joint's value on the last axis with the mean over the joint's body part."""
    if not layout.parts:
        raise UserError(f'layout {layout.name!r} has no body parts: give it `parts`')
    return x @ _pooling(tuple(map(tuple, layout.parts.values())), layout.num_joints, x.device, x.dtype)


@constant
def _pooling(parts: tuple[tuple[int, ...], ...], joints: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the (V, V) matrix that averages over each joint's body part."""
    matrix = torch.zeros(joints, joints, dtype=dtype)
    for joint in parts:
        part = torch.tensor(joint)
        matrix[part[:, None], part] = 1 / len(part)
    return matrix.to(device)


@constant
def _first_joints(parts: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor([joints[0] for joints in parts], device=device)


def random_actionlet(mask: Tensor, layout: SkeletonLayout, generator: torch.Generator) -> Tensor:
    """Move each person's actionlet to a random place: the control of an ablation.

    The body parts exchange their values by a random permutation, and the frames are shifted cyclically by a random
    number of cells. Every person keeps the number of part-frame cells and their values, and a part that was covered
    for some time remains covered for as long. Only the position is random. The number of covered joints may change
    slightly, because parts differ in size.

    Args:
        mask: (N, M, T', V), as returned by :func:`actionlet_mask`.
        layout: Skeleton layout with body parts.
        generator: Source of the random numbers.

    Returns:
        (N, M, T', V).
    """
    n, m, t, v = mask.shape
    parts = tuple(map(tuple, layout.parts.values()))
    order = torch.rand(n, m, 1, len(parts), generator=generator, device=mask.device).argsort(3).expand(-1, -1, t, -1)
    start = torch.randint(t, (n, m, 1), generator=generator, device=mask.device)
    cells = (start + torch.arange(t, device=mask.device)) % t
    by_part = mask.index_select(3, _first_joints(parts, mask.device)).gather(3, order)
    by_part = by_part.gather(2, cells.unsqueeze(3).expand(-1, -1, -1, len(parts)))
    return by_part @ part_members(layout, mask.device).to(mask.dtype)
