"""Measure whether the masks of a method cover the joints that move."""
import numpy as np
import torch
from torch import Tensor


def motion_energy(clips: Tensor) -> Tensor:
    """Return the mean speed (N, M, V) of each joint of clips (N, C, T, V, M), in units of the store per frame.

    The first three channels are the coordinates of the clip, regardless of further channels.
    """
    xyz = clips[:, :3]
    return (xyz[:, :, 1:] - xyz[:, :, :-1]).square().sum(1).sqrt().mean(1).transpose(1, 2)


def quarter_shares(mask: Tensor, energy: Tensor) -> np.ndarray:
    """Return the share of each person's mask on each quarter of the joints, sorted from least to most moving.

    Args:
        mask: (N, M, T', V), not negative.
        energy: (N, M, V) from :func:`motion_energy`. Persons without motion are absent and excluded.

    Returns:
        (P, 4) for the P present persons whose mask is not zero. Rows sum to 1. For a uniform mask, they equal
        :func:`uniform_shares`.
    """
    mass = mask.sum(2)
    there = (energy.sum(2) > 0) & (mass.sum(2) > 0)
    mass, energy = mass[there], energy[there]
    share = (mass / mass.sum(1, keepdim=True)).gather(1, energy.argsort(1)).double().cpu().numpy()
    return np.stack([part.sum(1) for part in np.array_split(share, 4, axis=1)], 1)


def uniform_shares(joints: int) -> list[float]:
    """Return the shares of :func:`quarter_shares` for a uniform mask."""
    return [len(part) / joints for part in np.array_split(np.arange(joints), 4)]


@torch.no_grad()
def masks_of(model, dataset, rows) -> tuple[Tensor, Tensor]:
    """Return masks (N, M, T', V) and motion energy (N, M, V) of clips of a data set, in eval mode and as one batch."""
    model.eval()
    batch = model.data_preprocessor(dataset.__getitems__(list(rows)), False)
    raw = dataset.__getitems__(list(rows))['inputs']
    raw = raw[:, :-1] if getattr(model.data_preprocessor, 'scores', False) else raw
    return model.attention_map(batch['inputs']).float().cpu(), motion_energy(raw)
