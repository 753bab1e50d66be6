"""The parts of slow oracles of losses: unit vectors, softmax and dot product of lists."""
import math

import torch
from torch.nn import functional as F


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random float64 vectors of length 1."""
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    exp = [math.exp(v - top) for v in values]
    return [e / sum(exp) for e in exp]


def dot(a, b) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
