"""Writes saved models."""
import json
import os
import os.path as osp

import safetensors.torch
import torch

from mmskelssl import __version__
from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.inference.saved import CARD, CONFIG, FORMAT, VERSION, WEIGHTS
from mmskelssl.inference.saved.member import KEPT, Member


def write_folder(folder: str | os.PathLike, kind: str, members: list[Member], card: str, half: bool = False,
                 overwrite: bool = False, **about) -> None:
    """Write a saved model. Each file is written atomically, and the config last.

    Args:
        folder: Folder to create.
        kind: ``encoder`` or ``classifier``.
        members: Its encoders.
        card: Text of ``README.md``.
        half: Store floating-point weights as float16, except the statistics of normalisation layers.
        overwrite: Replace a saved model.
        **about: Further entries of ``config.json``.

    Raises:
        UserError: If something else is in the way, a weight is not finite, or the folder cannot be written.
    """
    path = os.fspath(folder)
    check_place(path, overwrite)
    tensors = {f'{i}.{name}': _stored(name, value, half) for i, member in enumerate(members)
               for name, value in member.model.state_dict().items()}
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(f'{path}: {bad[0]} contains NaN or infinite values'
                        + (' in float16: save it in full precision' if half else ''))
    config = dict(format=FORMAT, version=VERSION, kind=kind, written_by=__version__, **about,
                  members=[_plain_member(member) for member in members])
    text = json.dumps(config, indent=1, allow_nan=False, default=list) + '\n'
    try:
        write_atomically(osp.join(path, WEIGHTS), safetensors.torch.save(tensors, {'format': 'pt'}))
        write_atomically(osp.join(path, CARD), card.encode())
        write_atomically(osp.join(path, CONFIG), text.encode())
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another folder') from error


def check_place(path: str, overwrite: bool) -> None:
    """Refuse to save a model where something else is, or another model without ``overwrite``."""
    if osp.lexists(path) and not (osp.isdir(path) and not os.listdir(path)):
        if not osp.isfile(osp.join(path, CONFIG)):
            raise UserError(f'{path} exists and is not a saved model: choose another folder')
        if not overwrite:
            raise UserError(f'{path} exists: choose another folder, or add --overwrite')


def _plain_member(member: Member) -> dict:
    return {key: value for key, value in member.info.items() if key in (*KEPT, 'model', 'dataset')}


def _stored(name: str, value: torch.Tensor, half: bool) -> torch.Tensor:
    value = value.detach().cpu().contiguous().clone()  # copied, because tensors may share memory
    keep = not value.is_floating_point() or name.endswith(('running_mean', 'running_var'))
    return value.half() if half and not keep else value
