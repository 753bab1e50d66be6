"""Mix each clip of a batch with a partner, by body parts, on a coarse grid of time cells.

Source: the three kinds of ActCLR (docs/methods.md 1.3) and SkeAttnCLR's part swap, which is CutMix only (2.1). The
whole batch shares one plan. The partner of clip i is clip (i + shift) mod N.
"""
from dataclasses import dataclass

import torch
from torch import Tensor

from mmskelssl.augment.base import BatchAugment
from mmskelssl.augment.tree import check_joints
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.registry import BATCH_AUGMENTS

KINDS = ('cutmix', 'resizemix', 'mixup')


@dataclass(frozen=True)
class MixPlan:
    """The parameters of mixing, shared by the whole batch.

    Args:
        shift: Distance to the partner in the batch.
        kind: 'cutmix', 'resizemix' or 'mixup'.
        parts: Indices of body parts, in the order of ``layout.parts``.
        start: First time cell.
        length: Number of time cells.
        cell: Number of frames per cell.
        lam: Weight of the partner (mixup only).
    """
    shift: int
    kind: str
    parts: tuple[int, ...]
    start: int
    length: int
    cell: int = 4
    lam: float = 1.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UserError(f'unknown kind of mixing {self.kind!r}: choose one of {", ".join(KINDS)}')

    def joints(self, layout: SkeletonLayout) -> Tensor:
        """Return a bool mask (V,) of the joints of the chosen parts."""
        if not layout.parts:
            raise UserError(f'mixing needs body parts, but layout {layout.name} has none: add `parts` to it')
        if max(self.parts, default=0) >= len(layout.parts):
            raise UserError(f'mixing plan: part {max(self.parts)}, but layout {layout.name} has {len(layout.parts)}')
        chosen = torch.zeros(layout.num_joints, dtype=torch.bool)
        parts = list(layout.parts.values())
        for part in self.parts:
            chosen[list(parts[part])] = True
        return chosen

    def masks(self, frames: int, layout: SkeletonLayout, device=None, dtype=torch.float32) -> tuple[Tensor, Tensor]:
        """Return the weights (pasted, replaced), each (T', V) with T' = ceil(T / cell).

        ``pasted`` is the share of the partner that was pasted, on the partner's own grid. For ResizeMix it covers all
        frames. ``replaced`` is the share of the clip that was overwritten. For Mixup both are ``lam`` everywhere.
        """
        joints = self.joints(layout).to(device, dtype)
        cells = -(-frames // self.cell)
        if self.kind == 'mixup':
            both = torch.full((cells, layout.num_joints), self.lam, device=device, dtype=dtype)
            return both, both
        cell = torch.arange(cells, device=device)
        inside = ((cell >= self.start) & (cell < self.start + self.length)).to(dtype)
        replaced = inside[:, None] * joints
        return (joints.expand(cells, -1).clone() if self.kind == 'resizemix' else replaced), replaced


def draw_shift(n: int, share: float) -> int:
    """Return the distance to the partner for a uniform ``share`` in [0, 1): 1 .. N-2, as published.

    In a batch of two, the clips are each other's partner (1). A single clip is its own partner (0).
    """
    return 0 if n < 2 else 1 + int(share * (n - 2))


def draw_mix(n: int, frames: int, num_parts: int, generator: torch.Generator, parts: tuple[int, int] = (2, 3),
             cells: tuple[int, int] = (3, 5), cell: int = 4, kind: str | None = None) -> MixPlan:
    """Draw the mixing plan of a batch.

    Args:
        n: Number of clips.
        frames: Number of frames per clip.
        num_parts: Number of body parts of the layout.
        generator: Random generator.
        parts: Minimum and maximum number of body parts. Limited by the layout.
        cells: Minimum and maximum number of time cells. Limited by the length of the clip.
        cell: Number of frames per cell.
        kind: Fixed kind. By default, CutMix has probability 1/2, and ResizeMix and Mixup have 1/4 each.
    """
    if num_parts < 1:
        raise UserError('mixing needs body parts, but the layout has none: add `parts` to it')
    # Draw all numbers at once: a generator on the device then needs only one synchronisation.
    shift, count, length, start, which, lam, *order = torch.rand(
        6 + num_parts, generator=generator, device=generator.device, dtype=torch.float64).tolist()

    def between(share: float, low: int, high: int) -> int:
        return low + int(share * (high - low + 1))

    count = min(between(count, *parts), num_parts)
    chosen = tuple(sorted(sorted(range(num_parts), key=order.__getitem__)[:count]))
    whole = max(frames // cell, 1)
    length = min(between(length, *cells), whole)
    kind = kind or ('cutmix' if which > 0.5 else 'resizemix' if which > 0.25 else 'mixup')
    return MixPlan(draw_shift(n, shift), kind, chosen, between(start, 0, whole - length), length, cell,
                   lam if kind == 'mixup' else 1.0)


def mix(x: Tensor, plan: MixPlan, layout: SkeletonLayout) -> Tensor:
    """Mix clips (N, C, T, V, M) with their partners and return a new tensor.

    CutMix pastes the chosen parts of the partner at the same frames. ResizeMix pastes the partner's first 2 * length
    cells at double speed (nearest frame). Mixup adds lam times the partner to 1 - lam times the clip everywhere.
    """
    check_joints(x, layout)
    if plan.kind == 'mixup':
        return torch.lerp(x, x.roll(-plan.shift, 0), plan.lam)
    frames = x.shape[2]
    first, last = plan.start * plan.cell, min((plan.start + plan.length) * plan.cell, frames)
    if plan.kind == 'cutmix':
        donor = x[:, :, first:last]
    else:
        span, source = last - first, min(2 * (last - first), frames)
        donor = x[:, :, torch.arange(span, device=x.device) * source // span]
    joints = plan.joints(layout).to(x.device).unsqueeze(1)
    pasted = torch.where(joints, donor.roll(-plan.shift, 0), x[:, :, first:last])
    return torch.cat((x[:, :, :first], pasted, x[:, :, last:]), dim=2)


@BATCH_AUGMENTS.register_module()
class SwapParts(BatchAugment):
    """Paste body parts of another clip of the batch for a span of time: CutMix (SkeAttnCLR, docs/methods.md 2.1).

    This is the only augmentation that combines clips of a batch. The parts, the span and the distance to the partner
    are drawn once per batch.

    Args:
        parts: Minimum and maximum number of body parts.
        cells: Minimum and maximum number of time cells.
        cell: Number of frames per cell.
    """
    needs_layout = True

    def __init__(self, parts: tuple[int, int] = (3, 4), cells: tuple[int, int] = (4, 7), cell: int = 4,
                 p: float = 1.0, layout=None):
        super().__init__(p, layout)
        self.parts, self.cells, self.cell = tuple(parts), tuple(cells), cell

    def draw(self, x, generator):
        """Draw ``plan``, a :class:`MixPlan`."""
        return dict(plan=draw_mix(len(x), x.shape[2], len(self.layout.parts), generator, self.parts, self.cells,
                                  self.cell, 'cutmix'))

    def apply(self, x, plan):
        return mix(x, plan, self.layout)
