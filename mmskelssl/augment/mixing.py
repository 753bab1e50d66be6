"""Mix each clip of a batch with a partner, by body parts, on a coarse grid of time cells.

Source: the three kinds of ActCLR (docs/methods.md 1.3) and SkeAttnCLR's part swap, which is CutMix by default (2.1).
The whole batch shares one plan. The partner of clip i is clip (i + shift) mod N.
"""
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmskelssl.augment.base import BatchAugment
from mmskelssl.augment.tree import check_joints, part_members
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.registry import BATCH_AUGMENTS

KINDS = ('cutmix', 'resizemix', 'mixup')


@dataclass(frozen=True)
class MixPlan:
    """The parameters of mixing, shared by the whole batch.

    A plan has Python numbers or, as drawn, tensors on the device of the clips. The host then never waits for the
    device, and the operations do not depend on the numbers.

    Args:
        shift: Distance to the partner in the batch.
        kind: 'cutmix', 'resizemix' or 'mixup'. As a tensor, its index in :data:`KINDS`.
        parts: Indices of body parts, in the order of ``layout.parts``. As a tensor, a bool mask (parts,).
        start: First time cell.
        length: Number of time cells.
        cell: Number of frames per cell.
        lam: Weight of the partner (mixup only).
        single_joints: Indices of joints, used in addition to those of the parts. As a tensor, a bool mask (V,).
    """
    shift: int | Tensor
    kind: str | Tensor
    parts: tuple[int, ...] | Tensor
    start: int | Tensor
    length: int | Tensor
    cell: int = 4
    lam: float | Tensor = 1.0
    single_joints: tuple[int, ...] | Tensor = ()

    def __post_init__(self):
        if isinstance(self.kind, str) and self.kind not in KINDS:
            raise UserError(f'unknown kind of mixing {self.kind!r}: choose one of {", ".join(KINDS)}')

    def numbers(self) -> 'MixPlan':
        """Return the plan with Python numbers, for which the host waits for the device."""
        def read(value):
            if not isinstance(value, Tensor):
                return value
            return tuple(value.nonzero().flatten().tolist()) if value.dim() else value.item()
        made = {name: read(getattr(self, name)) for name in self.__dataclass_fields__}
        kind = made.pop('kind')
        return MixPlan(**made, kind=kind if isinstance(kind, str) else KINDS[kind])

    def is_kind(self, kind: str, device) -> Tensor:
        """Return a scalar bool tensor."""
        if isinstance(self.kind, Tensor):
            return self.kind == KINDS.index(kind)
        return torch.full((), self.kind == kind, device=device)

    def joints(self, layout: SkeletonLayout, device=None) -> Tensor:
        """Return a bool mask (V,) of the joints of the chosen parts."""
        parts, single = self.parts, self.single_joints
        count = len(parts) if isinstance(parts, Tensor) else max(parts, default=-1) + 1
        if count and not layout.parts:
            raise UserError(f'mixing needs body parts, but layout {layout.name} has none: add `parts` to it')
        if count > len(layout.parts):
            raise UserError(f'mixing plan: part {count - 1}, but layout {layout.name} has {len(layout.parts)}')
        chosen = single if isinstance(single, Tensor) else _mask(single, layout.num_joints, device)
        if not count:
            return chosen
        parts = parts if isinstance(parts, Tensor) else _mask(parts, count, device)
        return chosen | (parts.unsqueeze(1) & part_members(layout, chosen.device)[:count]).any(0)

    def masks(self, frames: int, layout: SkeletonLayout, device=None, dtype=torch.float32) -> tuple[Tensor, Tensor]:
        """Return the weights (pasted, replaced), each (T', V) with T' = ceil(T / cell).

        ``pasted`` is the share of the partner that was pasted, on the partner's own grid. For ResizeMix it covers all
        frames. ``replaced`` is the share of the clip that was overwritten. For Mixup both are ``lam`` everywhere.
        """
        joints = self.joints(layout, device).to(dtype)
        cell = torch.arange(-(-frames // self.cell), device=device)
        inside = ((cell >= self.start) & (cell < self.start + self.length)).to(dtype)
        replaced = inside[:, None] * joints
        pasted = torch.where(self.is_kind('resizemix', device), joints, replaced)
        lam = self.lam.to(dtype) if isinstance(self.lam, Tensor) else self.lam
        mixup = self.is_kind('mixup', device)
        return torch.where(mixup, lam, pasted).to(dtype), torch.where(mixup, lam, replaced).to(dtype)


def _mask(chosen: tuple[int, ...], size: int, device) -> Tensor:
    """Return a bool mask (size,) of the chosen indices."""
    mask = torch.zeros(size, dtype=torch.bool, device=device)
    if chosen:
        mask[torch.tensor(chosen, device=device)] = True
    return mask


def partners(x: Tensor, shift: int | Tensor) -> Tensor:
    """Return row (i + shift) mod N of ``x`` (N, ...) for each row i."""
    if isinstance(shift, int):
        return x.roll(-shift, 0)
    return x.index_select(0, (torch.arange(len(x), device=x.device) + shift) % len(x))


def draw_shift(n: int, share: float | Tensor) -> int | Tensor:
    """Return the distance to the partner for a uniform ``share`` in [0, 1): 1 .. N-2, as published.

    In a batch of two, the clips are each other's partner (1). A single clip is its own partner (0).

    Args:
        n: Number of clips.
        share: A number, or a scalar tensor. The distance is of the same kind.
    """
    distance = 1 + _whole(share * (n - 2))
    return distance if n > 1 else 0 * distance


def _whole(x: float | Tensor) -> int | Tensor:
    return x.long() if isinstance(x, Tensor) else int(x)


def draw_mix(n: int, frames: int, num_parts: int, generator: torch.Generator, parts: tuple[int, int] = (2, 3),
             cells: tuple[int, int] = (3, 5), cell: int = 4, kind: str | None = None,
             device: torch.device | None = None) -> MixPlan:
    """Draw the mixing plan of a batch. Its numbers are tensors on the device.

    Args:
        n: Number of clips.
        frames: Number of frames per clip.
        num_parts: Number of body parts of the layout.
        generator: Random generator.
        parts: Minimum and maximum number of body parts. Limited by the layout.
        cells: Minimum and maximum number of time cells. Limited by the length of the clip.
        cell: Number of frames per cell.
        kind: Fixed kind. By default, CutMix has probability 1/2, and ResizeMix and Mixup have 1/4 each.
        device: Device of the clips. By default, that of the generator.
    """
    if num_parts < 1:
        raise UserError('mixing needs body parts, but the layout has none: add `parts` to it')
    shares = torch.rand(6 + num_parts, generator=generator, device=device or generator.device, dtype=torch.float64)
    shift, count, length, start, which, lam = shares[:6].unbind()
    chosen = smallest(shares[6:], between(count, *parts))
    whole = max(frames // cell, 1)
    length = between(length, *cells).clamp(max=whole)
    number = (which <= .5).long() + (which <= .25).long()
    weight: float | Tensor = lam if kind == 'mixup' else 1.
    if kind is None:
        weight = torch.where(number == KINDS.index('mixup'), lam, 1.)
    return MixPlan(draw_shift(n, shift), number if kind is None else kind, chosen, between(start, 0, whole - length),
                   length, cell, weight)


def between(share: Tensor, low: int, high: int | Tensor) -> Tensor:
    """Return a whole number from ``low`` to ``high`` for a uniform share in [0, 1)."""
    return low + (share * (high - low + 1)).long()


def smallest(order: Tensor, count: Tensor) -> Tensor:
    """Return a bool mask like ``order`` of its ``count`` smallest values."""
    return order.argsort().argsort() < count


def mix(x: Tensor, plan: MixPlan, layout: SkeletonLayout) -> Tensor:
    """Mix clips (N, C, T, V, M) with their partners and return a new tensor.

    CutMix pastes the chosen parts of the partner at the same frames. ResizeMix pastes the partner's first 2 * length
    cells at double speed (nearest frame). Mixup adds lam times the partner to 1 - lam times the clip everywhere.
    """
    check_joints(x, layout)
    partner, kind = partners(x, plan.shift), plan.kind
    lam = plan.lam.to(x.dtype) if isinstance(plan.lam, Tensor) else plan.lam
    if isinstance(kind, str) and kind == 'mixup':
        return torch.lerp(x, partner, lam)
    frames, region = _region(x, plan, layout)
    pasted = torch.where(region, partner.index_select(2, frames), x)
    if isinstance(kind, str):
        return pasted
    return torch.where(plan.is_kind('mixup', x.device), torch.lerp(x, partner, lam), pasted)


def _region(x: Tensor, plan: MixPlan, layout: SkeletonLayout) -> tuple[Tensor, Tensor]:
    """Return the partner's frame (T,) for each frame of a clip, and a bool mask (T, V, 1) of what is replaced."""
    count = x.shape[2]
    frame = torch.arange(count, device=x.device)
    first = plan.start * plan.cell
    last = (plan.start + plan.length) * plan.cell
    inside = (frame >= first) & (frame < last)
    span = (torch.as_tensor(last, device=x.device).clamp(max=count) - first).clamp(min=1)
    double = (frame - first).clamp(min=0) * (2 * span).clamp(max=count) // span
    source = torch.where(plan.is_kind('resizemix', x.device) & inside, double, frame)
    return source, (inside[:, None] & plan.joints(layout, x.device)).unsqueeze(2)


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
        plan = draw_mix(len(x), x.shape[2], parts, generator, self.parts, self.cells, self.cell, 'cutmix', x.device)
        if self.joints is not None:
            shares = torch.rand(1 + x.shape[3], generator=generator, device=x.device, dtype=torch.float64)
            plan = replace(plan, parts=(), single_joints=smallest(shares[1:], between(shares[0], *self.joints)))
        noise = None
        if self.fill == 'noise':
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return dict(plan=plan, noise=noise)

    def apply(self, x, plan, noise=None):
        if self.fill == 'partner':
            return mix(x, plan, self.layout)
        region = _region(x, plan, self.layout)[1]
        if noise is None:
            return x.masked_fill(region, 0.)
        std, mean = torch.std_mean(x, (2, 3), correction=0, keepdim=True)
        return torch.where(region, mean + std * noise, x)

    def apply_scores(self, scores, plan, noise=None):
        """Scores come with the parts of a partner. Joints filled with zeros or noise keep their own."""
        return mix(scores, plan, self.layout) if self.fill == 'partner' else scores
