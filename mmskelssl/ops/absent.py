"""Encode absent persons (all zeros) only once, or not at all."""
from collections.abc import Callable

import torch
from torch import Tensor

from mmskelssl.tracing import exporting, reads_values


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


def encode_present(encode: Callable[[Tensor, Tensor | None], Tensor], persons: Tensor) -> Tensor:
    """Return the maps (P, D, ...) of persons (P, ...). Those of absent persons are zero.

    Args:
        encode: Function of persons and of ``rows``, which are (P,) bool and mark the persons whose batch statistics
            count. None stands for all.
        persons: (P, ...).
    """
    there = (persons != 0).flatten(1).any(1)
    if not exporting() and reads_values(persons):
        rows = there.nonzero().squeeze(1)
        if not len(rows):
            return encode(persons, None) * 0
        encoded = encode(persons[rows], None)
        return encoded if len(rows) == len(persons) else encoded.new_zeros(
            len(persons), *encoded.shape[1:]).index_copy(0, rows, encoded)
    # A trace cannot follow who is present, and the host need not wait to know it.
    encoded = encode(persons, None if exporting() else there | ~there.any())
    return encoded * there.view(-1, *[1] * (encoded.dim() - 1))
