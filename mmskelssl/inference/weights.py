"""Reads files of weights in the safetensors format, which contains no code."""
import os.path as osp

import safetensors.torch
import torch

from mmskelssl.engine.rebuild import MAX_BYTES, MAX_TENSORS
from mmskelssl.errors import UserError

MAX_HEADER = 1 << 24  # bytes
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8,
           torch.bool}


def read_file(path: str, most: int, hint: str = '') -> bytes:
    """Read a file of at most ``most`` bytes. ``hint`` ends the message if there is no such file."""
    if not osp.isfile(path):  # a pipe would block
        raise UserError(f'{path}: no such file{hint}')
    try:
        with open(path, 'rb') as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror or error}') from error
    if len(data) > most:
        raise UserError(f'{path}: larger than {most >> 20} MiB; refused')
    return data


def read_weights(path: str, hint: str = '') -> dict[str, torch.Tensor]:
    """Read tensors by name. The library checks that the header matches the file, and sizes are limited first.

    Raises:
        UserError: If the file is missing, too large, damaged or crafted. The message names it. ``hint`` ends it if
            there is no such file.
    """
    data = read_file(path, MAX_BYTES, hint)
    length = int.from_bytes(data[:8], 'little')
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        raise UserError(f'{path}: not a safetensors file, or its header is larger than {MAX_HEADER >> 20} MiB')
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # noqa: BLE001  a damaged or crafted file can fail in any way
        raise UserError(f'{path}: damaged ({" ".join(str(error).split())[:200]}); take another copy') from error
    if len(tensors) > MAX_TENSORS:
        raise UserError(f'{path}: more than {MAX_TENSORS:,} tensors; refused')
    odd = next((name for name, value in tensors.items() if value.dtype not in _DTYPES), None)
    if odd is not None:
        raise UserError(f'{path}: {odd} has the type {tensors[odd].dtype}, which is not read')
    return tensors
