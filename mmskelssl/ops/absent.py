"""Encode absent persons (all zeros) only once."""
from collections.abc import Callable

import torch
from torch import Tensor


def plain_encode_persons(encode: Callable[[Tensor], Tensor], persons: Tensor) -> Tensor:
    """Return the maps (P, D, T', V) of persons (P, T, F), each encoded separately."""
    return encode(persons)


def encode_persons(encode: Callable[[Tensor], Tensor], persons: Tensor) -> Tensor:
    """Compute :func:`plain_encode_persons` in eval mode.

    All absent persons have the same map, so it is computed only once.
    """
    there = (persons != 0).flatten(1).any(1)
    if int(there.sum()) > len(there) - 2:
        return encode(persons)
    made = encode(torch.cat([persons[there], persons.new_zeros(1, *persons.shape[1:])]))
    which = torch.where(there, there.cumsum(0) - 1, len(made) - 1)
    return made.permute(0, 2, 3, 1).index_select(0, which).permute(0, 3, 1, 2)  # channels last, as the encoder's output
