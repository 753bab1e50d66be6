"""Mix each clip of a batch with a partner, by body parts, on a coarse grid of time cells.

Source: the three kinds of ActCLR (docs/methods.md 1.3) and SkeAttnCLR's part swap, which is CutMix by default (2.1).
The whole batch shares one plan. The partner of clip i is clip (i + shift) mod N.
"""
from dataclasses import dataclass, replace

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
        single_joints: Indices of joints, used in addition to those of the parts.
    """
    shift: int
    kind: str
    parts: tuple[int, ...]
    start: int
    length: int
    cell: int = 4
    lam: float = 1.0
    single_joints: tuple[int, ...] = ()

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UserError(f'unknown kind of mixing {self.kind!r}: choose one of {", ".join(KINDS)}')

    def joints(self, layout: SkeletonLayout) -> Tensor:
        """Return a bool mask (V,) of the joints of the chosen parts."""
        if self.parts and not layout.parts:
            raise UserError(f'mixing needs body parts, but layout {layout.name} has none: add `parts` to it')
        if max(self.parts, default=-1) >= len(layout.parts):
            raise UserError(f'mixing plan: part {max(self.parts)}, but layout {layout.name} has {len(layout.parts)}')
        chosen = torch.zeros(layout.num_joints, dtype=torch.bool)
        parts = list(layout.parts.values())
        for part in self.parts:
            chosen[list(parts[part])] = True
        chosen[list(self.single_joints)] = True
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


FILLS = ('partner', 'zeros', 'noise')


@BATCH_AUGMENTS.register_module()
class SwapParts(BatchAugment):
    """Replace body parts for a span of time, by default with those of another clip: CutMix (docs/methods.md 2.1).

    This is the only augmentation that combines clips of a batch. The parts, the span and the distance to the partner
    are drawn once per batch.

    Args:
        parts: Minimum and maximum number of body parts.
        cells: Minimum and maximum number of time cells.
        cell: Number of frames per cell.
        fill: What replaces the parts. ``partner`` pastes those of another clip. For ablation, ``zeros`` sets them to 0,
            and ``noise`` draws each coordinate from a normal distribution with the mean and the standard deviation
            that this coordinate has in the person's clip.
        joints: For ablation, the minimum and maximum number of joints that are replaced instead of body parts. The
            released code uses 10 to 15 of 25. Limited by the layout.
    """
    needs_layout = True
    moves = True

    def __init__(self, parts: tuple[int, int] = (3, 4), cells: tuple[int, int] = (4, 7), cell: int = 4,
                 fill: str = 'partner', joints: tuple[int, int] | None = None, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        for name, value in (('parts', parts), ('cells', cells), ('joints', joints)):
            if value is not None and (len(value) != 2 or not 1 <= value[0] <= value[1]):
                raise UserError(f'SwapParts: {name} is {value!r}; it must be a minimum and a maximum of at least 1')
        if fill not in FILLS:
            raise UserError(f'SwapParts: fill is {fill!r}: choose one of {", ".join(FILLS)}')
        self.parts, self.cells, self.cell = tuple(parts), tuple(cells), cell
        self.fill, self.joints = fill, None if joints is None else tuple(joints)

    def draw(self, x, generator):
        """Draw ``plan``, a :class:`MixPlan`, and ``noise``, standard normal for each coordinate, if it is needed."""
        parts = len(self.layout.parts) if self.joints is None else 1
        plan = draw_mix(len(x), x.shape[2], parts, generator, self.parts, self.cells, self.cell, 'cutmix')
        if self.joints is not None:
            low, high = self.joints
            count, *order = torch.rand(1 + x.shape[3], generator=generator, device=x.device,
                                       dtype=torch.float64).tolist()
            count = min(low + int(count * (high - low + 1)), x.shape[3])
            chosen = sorted(range(x.shape[3]), key=order.__getitem__)[:count]
            plan = replace(plan, parts=(), single_joints=tuple(sorted(chosen)))
        noise = None
        if self.fill == 'noise':
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return dict(plan=plan, noise=noise)

    def apply(self, x, plan, noise=None):
        if self.fill == 'partner':
            return mix(x, plan, self.layout)
        frames = torch.arange(x.shape[2], device=x.device)
        frames = (frames >= plan.start * plan.cell) & (frames < (plan.start + plan.length) * plan.cell)
        region = (frames[:, None] & plan.joints(self.layout).to(x.device)).unsqueeze(2)
        if noise is None:
            return x.masked_fill(region, 0.)
        std, mean = torch.std_mean(x, (2, 3), correction=0, keepdim=True)
        return torch.where(region, mean + std * noise, x)

    def apply_scores(self, scores, plan, noise=None):
        """Scores come with the parts of a partner. Joints filled with zeros or noise keep their own."""
        return mix(scores, plan, self.layout) if self.fill == 'partner' else scores
