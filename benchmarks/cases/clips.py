"""Synthetic input (bodies that move smoothly), and the models that the training cases share."""
import copy

import torch
from torch import Tensor

from mmskelssl.layouts import get_layout
from mmskelssl.registry import MODELS

NTU = get_layout('ntu25')


def clips(n: int, frames: int, persons: int = 2, absent: float = 0., seed: int = 0, joints: int = 25) -> Tensor:
    """(N, 3, T, V, M) float32; the share ``absent`` of the second persons is all zeros."""
    generator = torch.Generator().manual_seed(seed)
    rest, sway, rate, phase = torch.randn(4, n, 3, 1, joints, persons, generator=generator)
    time = torch.arange(frames).view(1, 1, -1, 1, 1) / frames
    x = .4 * rest + .1 * sway * torch.sin(2 * torch.pi * (rate * time + phase))
    if persons > 1:
        x[torch.randperm(n, generator=generator)[:round(absent * n)], ..., 1] = 0
    return x


def build(config: dict, seed: int = 0, dtype: torch.dtype = torch.float32):
    """Build the model of a config, with weights drawn from a seed."""
    torch.manual_seed(seed)
    return MODELS.build(copy.deepcopy(config)).to(dtype)


def preprocessor(views) -> dict:
    """Preprocessor config for views that are already made."""
    return dict(type='SkeletonPreprocessor', layout='ntu25', views={view: [] for view in views})
