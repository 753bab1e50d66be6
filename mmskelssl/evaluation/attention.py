"""Do a method's masks look at the parts that move?"""
import numpy as np
import torch
from torch import Tensor


def motion_energy(clips: Tensor) -> Tensor:
    """Mean speed of each joint, in units of the store a frame: clips (N, C, T, V, M) -> (N, M, V).

    The first three channels are the coordinates of the clip as a whole, whatever else is stacked on them.
    """
    xyz = clips[:, :3]
    return (xyz[:, :, 1:] - xyz[:, :, :-1]).square().sum(1).sqrt().mean(1).transpose(1, 2)


def quarter_shares(mask: Tensor, energy: Tensor) -> np.ndarray:
    """Share of each person's mask that lies on the least, ..., the most moving quarter of the joints.

    Args:
        mask: (N, M, T', V), not negative.
        energy: (N, M, V) of :func:`motion_energy`; a person without any is absent and left out.

    Returns:
        (P, 4) for the P persons present whose mask is not zero; rows sum to 1. A uniform mask has
        :func:`uniform_shares`.
    """
    mass = mask.sum(2)
    there = (energy.sum(2) > 0) & (mass.sum(2) > 0)
    mass, energy = mass[there], energy[there]
    share = (mass / mass.sum(1, keepdim=True)).gather(1, energy.argsort(1)).double().cpu().numpy()
    return np.stack([part.sum(1) for part in np.array_split(share, 4, axis=1)], 1)


def uniform_shares(joints: int) -> list[float]:
    """What :func:`quarter_shares` gives for a mask that is the same everywhere."""
    return [len(part) / joints for part in np.array_split(np.arange(joints), 4)]


@torch.no_grad()
def masks_of(model, dataset, rows) -> tuple[Tensor, Tensor]:
    """Mask (N, M, T', V) and motion energy (N, M, V) of some clips of a data set, in eval mode, as one batch."""
    model.eval()
    batch = model.data_preprocessor(dataset.__getitems__(list(rows)), False)
    raw = dataset.__getitems__(list(rows))['inputs']
    return model.attention_map(batch['inputs']).float().cpu(), motion_energy(raw)
