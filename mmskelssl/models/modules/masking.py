"""Which tokens of a clip a masked model must predict."""
from functools import lru_cache

import torch
from torch import Tensor

from mmskelssl.layouts import SkeletonLayout
from mmskelssl.tracing import reads_values

MAX_FAILURES, MAX_PROPOSALS = 10, 48  # rejected proposals of a tube in a row, and all proposals of a mask


def motion_weights(patches: Tensor) -> Tensor:
    """Measure the motion of each token (MAMP, Mao et al., ICCV 2023, section 3.3).

    Args:
        patches: (P, T', V, C * l).

    Returns:
        (P, T', V), the mean absolute difference to the preceding patch of the same joint. The first patch has the
        motion of the second.
    """
    if patches.shape[1] < 2:
        return patches.new_zeros(patches.shape[:3])
    change = patches.diff(dim=1).abs().mean(3)
    return torch.cat([change[:, :1], change], 1)


def gumbel(rows: int, tokens: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw Gumbel noise (rows, tokens) of the type and on the device of ``like``."""
    return like.new_empty(rows, tokens).exponential_(generator=generator).log().neg()


def draw_visible(weights: Tensor, valid: Tensor, keep: int, tau: float, noise: Tensor) -> Tensor:
    """Draw the tokens that stay visible. Tokens that move more are more likely to be masked.

    Tokens are masked without replacement with probabilities softmax(weight / (largest weight of the clip * tau)),
    by the Gumbel-max trick. Tokens without information are masked first.

    Args:
        weights: (P, L) motion of each token.
        valid: (P, L) bool, tokens with information.
        keep: Number of tokens to keep.
        tau: Temperature. 0 ignores motion and masks at random.
        noise: (P, L), see :func:`gumbel`.

    Returns:
        (P, keep) indices of visible tokens.
    """
    if tau:
        noise = noise + weights / (weights.amax(1, keepdim=True).clamp(min=1e-12) * tau)
    return noise.masked_fill(~valid, torch.inf).topk(keep, 1, largest=False).indices


def stratified(count: int, low: float, high: float, device: torch.device, generator: torch.Generator) -> Tensor:
    """Draw one number from each of ``count`` equal parts of [low, high), in their order, as (count,) float64."""
    place = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
    return low + (high - low) * (torch.arange(count, device=device) + place) / max(count, 1)


def tube_groups(layout: SkeletonLayout) -> tuple[tuple[int, ...], ...]:
    """Return the groups of joints for :func:`tube_masks`: the body parts, or all joints, parents before children."""
    return tuple(tuple(joints) for joints in layout.parts.values()) or (tuple(layout.order),)


def tube_masks(budget: Tensor, steps: int, groups: tuple[tuple[int, ...], ...], least: float, most: float,
               generator: torch.Generator) -> Tensor:
    """Draw masks of semantic tubes (SLiM): runs of joints of a body part for a span of time.

    Tubes are added until a mask has as many cells as its budget. For each tube, draw a group, a run of its joints, the
    area, which gives the number of time steps, and the first step. A tube is rejected if it adds no cell, or more than
    are left or than ``most``. A mask is finished earlier if ten proposals in a row are rejected, and in any case after
    48 proposals, when 99 of 100 masks are finished: a device does not wait to find out whether all of them are.

    Args:
        budget: (P,) integers, the largest number of cells of each mask.
        steps: Number of time steps, T'.
        groups: Joints of each group, in the order in which they follow each other. Each of V joints is in one group.
        least, most: Range of the area of a tube, in cells. The upper end is not more than what is left of the budget.
        generator: Source of random numbers.

    Returns:
        (P, T', V) bool, true for masked cells.
    """
    device = budget.device
    place_of, sizes, starts = _tables(groups, device)
    time, place = torch.arange(steps, device=device), torch.arange(len(place_of), device=device)
    mask = torch.zeros(len(budget), steps, len(place_of), dtype=torch.bool, device=device)
    count, failures = torch.zeros_like(budget), torch.zeros_like(budget)
    active = budget > 0
    for draws in torch.rand(MAX_PROPOSALS, 5, len(budget), generator=generator, device=device, dtype=torch.float64):
        if reads_values(budget) and not active.any():
            break
        group = (draws[0] * len(groups)).long()
        width = 1 + (draws[1] * sizes[group]).long()
        first = starts[group] + (draws[2] * (sizes[group] - width + 1)).long()
        left = (budget - count).clamp(max=most)
        length = ((least + draws[3] * (left - least)) / width).round().long().clamp(1, steps)
        begin = (draws[4] * (steps - length + 1)).long()
        tube = _span(time, begin, length).unsqueeze(2) & _span(place, first, width).unsqueeze(1)
        added = (tube & ~mask).sum((1, 2))
        accepted = active & (added > 0) & (added <= left)
        mask = mask | (tube & accepted.view(-1, 1, 1))
        count = count + added * accepted
        failures = torch.where(accepted, 0, failures + 1)
        active = active & (count < budget) & (failures < MAX_FAILURES)
    return mask[:, :, place_of]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _tables(groups: tuple[tuple[int, ...], ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the place (V,) of each joint in the list of all groups, and the size and start (G,) of each group."""
    order = torch.tensor([joint for group in groups for joint in group])
    sizes = torch.tensor([len(group) for group in groups])
    return order.argsort().to(device), sizes.to(device), (sizes.cumsum(0) - sizes).to(device)


def _span(places: Tensor, begin: Tensor, length: Tensor) -> Tensor:
    """Return (P, L) bool, true at the places (L,) from ``begin`` (P,) on, ``length`` (P,) of them."""
    begin = begin.unsqueeze(1)
    return (places >= begin) & (places < begin + length.unsqueeze(1))


def masked_rows(mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the positions of the masked tokens of all views in one list, and whether each of them is masked.

    On a device the list always has ``most`` entries, because the host does not know the number of masked tokens.

    Args:
        mask: (P, L) bool with at most ``most`` true values.
        most: Largest number of masked tokens.

    Returns:
        Positions (H,) among the P * L tokens, and (H,) bool.
    """
    flat = mask.flatten()
    rows = flat.nonzero().squeeze(1) if reads_values(mask) else flat.to(torch.uint8).argsort(
        descending=True, stable=True)[:most]
    return rows, flat[rows]
