"""The deterministic pipeline as a torch module, for models that take raw clips without this package.

Each transform of :mod:`mmskelssl.datasets.transforms` has one counterpart here, and tests compare the two over random
clips for the pipeline of each shipped config. The geometry itself (:mod:`mmskelssl.alignment`) is the same code.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor, nn

from mmskelssl.alignment import align_sequence, align_shoulders, centre_frames
from mmskelssl.datasets import transforms
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout


@dataclass
class Clip:
    """A clip between two steps.

    Args:
        keypoint: (M, T, V, C) float32.
        layout: Layout of its joints.
        num_frames: () int64, the number of real frames; None until a step needs it.
    """
    keypoint: Tensor
    layout: SkeletonLayout
    num_frames: Tensor | None = None


class TorchPipeline(nn.Module):
    """Prepare a raw clip (M, T, V, C) as the transforms of a pipeline do.

    It contains no branch that depends on values, so that ``torch.export`` can trace it for any M and T. A clip without
    a body, which the transforms refuse, gives NaN.

    Args:
        steps: Transforms, ending with PackSkeleton.
        layout: Layout of the clips.
        where: File that the pipeline comes from, for messages.

    Raises:
        UserError: If a transform has no counterpart.
    """

    def __init__(self, steps: Sequence[BaseTransform], layout: SkeletonLayout, where: str):
        super().__init__()
        self.steps, self.layout = list(steps), layout
        unknown = next((step for step in self.steps if type(step) not in COUNTERPARTS), None)
        if unknown is not None:
            names = ', '.join(kind.__name__ for kind in COUNTERPARTS)
            raise UserError(f'{where}: its pipeline has the step {type(unknown).__name__}, which cannot be exported; '
                            f'there are {names}. Export the encoder without --whole, which takes prepared clips')

    def forward(self, keypoint: Tensor) -> tuple[Tensor, Tensor]:
        """Prepare a clip.

        Args:
            keypoint: (M, T, V, C) float32. Frames in which a person is absent are all zeros.

        Returns:
            A batch of one clip (1, C, T', V, M') and its number of real frames (1,).
        """
        clip = Clip(keypoint, self.layout)
        for step in self.steps:
            clip = COUNTERPARTS[type(step)](step, clip)
        assert clip.num_frames is not None  # set by pack
        nobody = ~(keypoint != 0).any().view(1, 1, 1, 1, 1)
        made = clip.keypoint.permute(3, 1, 2, 0).unsqueeze(0)
        return torch.where(nobody, torch.full_like(made, torch.nan), made), clip.num_frames.view(1)


def select_persons(step: transforms.SelectPersons, clip: Clip) -> Clip:
    x, most = clip.keypoint, step.max_persons
    if step.by == 'energy':
        seen = (x != 0).flatten(2).any(2)[..., None, None].to(x.dtype)  # (M, T, 1, 1)
        count = seen.sum(1, keepdim=True).clamp(min=1)
        mean = (x * seen).sum(1, keepdim=True) / count
        energy = (((x - mean).square() * seen).sum(1, keepdim=True) / count).sqrt().sum((1, 2, 3))  # (M,)
        # The rank of each person: how many move more, or as much and come first.
        place = torch.arange(x.shape[0], device=x.device)
        ahead = (energy[:, None] > energy) | ((energy[:, None] == energy) & (place[:, None] < place))
        rank = ahead.sum(0)
        chosen = (torch.arange(most, device=x.device)[:, None] == rank).to(x.dtype)  # (most, M), rows of one 1 or none
        return Clip(torch.einsum('km,mtvc->ktvc', chosen, x), clip.layout, clip.num_frames)
    nobody = x.new_zeros(most, 1, 1, 1).expand(most, *x.shape[1:])
    return Clip(torch.cat([x, nobody])[:most], clip.layout, clip.num_frames)


def valid_frames(clip: Clip) -> Tensor:
    """Return ``num_frames``, or count the frames in which joint 0 of the first person is not at the origin; ()."""
    if clip.num_frames is not None:
        return clip.num_frames
    count = (clip.keypoint[0, :, 0].abs().sum(-1) != 0).sum()
    return torch.where(count == 0, clip.keypoint.shape[1], count)


def with_geometry(clip: Clip, function: Callable[[Tensor], Tensor], frames: Tensor | None) -> Clip:
    """Apply a function of batches (N, C, T, V, M)."""
    made = function(clip.keypoint.permute(3, 1, 2, 0).unsqueeze(0))
    return Clip(made[0].permute(3, 1, 2, 0), clip.layout, frames)


def centre(step: transforms.Center, clip: Clip) -> Clip:
    return with_geometry(clip, lambda x: centre_frames(x, clip.layout, step.joint), valid_frames(clip))


def turn_frames(step: transforms.AlignShoulders, clip: Clip) -> Clip:
    return with_geometry(clip, lambda x: align_shoulders(x, clip.layout), clip.num_frames)


def align(step: transforms.AlignSequence, clip: Clip) -> Clip:
    return with_geometry(clip, lambda x: align_sequence(x, clip.layout, step.turn, step.middle, joint=step.joint),
                         valid_frames(clip))


def resize_frames(step: transforms.ResizeFrames, clip: Clip) -> Clip:
    x, length = clip.keypoint, valid_frames(clip)
    position = (torch.arange(step.frames, dtype=torch.float64, device=x.device) + 0.5) * length / step.frames - 0.5
    position = torch.minimum(position.clamp(min=0), (length - 1).double())
    low = position.floor().long()
    high = torch.minimum(low + 1, length - 1)
    weight = (position - low).to(x.dtype)[None, :, None, None]
    made = x.index_select(1, low) * (1 - weight) + x.index_select(1, high) * weight
    return Clip(made, clip.layout, torch.full_like(length, step.frames))


def pad_frames(step: transforms.PadFrames, clip: Clip) -> Clip:
    m, _, v, c = clip.keypoint.shape
    x = torch.cat([clip.keypoint, clip.keypoint.new_zeros(m, step.frames, v, c)], 1)[:, :step.frames]
    body = (x != 0).any(3).any(2).any(0)  # (T,)
    last = (body * torch.arange(1, step.frames + 1, device=x.device)).amax(0)
    return Clip(torch.where(last > 0, x, torch.nan), clip.layout, last.clamp(min=1))


def fit_range(step: transforms.FitRange, clip: Clip) -> Clip:
    largest = clip.keypoint.abs().flatten().amax(0)
    factor = torch.where(largest > 0, step.limit / largest, torch.ones_like(largest))
    return Clip(clip.keypoint * factor, clip.layout, clip.num_frames)


def pack(step: transforms.PackSkeleton, clip: Clip) -> Clip:
    frames = clip.keypoint.shape[1]
    count = clip.num_frames
    count = torch.full((), frames, dtype=torch.long) if count is None else torch.minimum(count, torch.tensor(frames))
    return Clip(clip.keypoint, clip.layout, count)


COUNTERPARTS: dict[type, Callable] = {
    transforms.SelectPersons: select_persons, transforms.Center: centre, transforms.AlignShoulders: turn_frames,
    transforms.AlignSequence: align, transforms.ResizeFrames: resize_frames, transforms.PadFrames: pad_frames,
    transforms.FitRange: fit_range, transforms.PackSkeleton: pack}
