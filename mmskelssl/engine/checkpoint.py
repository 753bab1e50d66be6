"""Reads checkpoints without running code from the file and without partial loading."""
import os
import os.path as osp
from os import PathLike

import torch
from torch import nn

from mmskelssl.engine.checkpoint_file import Refused, check_file, unusual_tensor
from mmskelssl.engine.checkpoint_schema import check_content, describe
from mmskelssl.engine.unpickle import STAND_INS, restore, to_plain
from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.npz import is_zip
from mmskelssl.plain_pickle import ForeignName
from mmskelssl.registry import MODELS

__all__ = ['build_from_checkpoint', 'evaluated_prefix', 'load_backbone', 'load_checkpoint', 'load_part', 'load_whole',
           'to_plain']


def load_checkpoint(path: str | PathLike, map_location='cpu') -> dict:
    """Read a checkpoint of this package or of stock mmengine without running code from the file.

    Args:
        path: Path of a local file. URLs are refused.
        map_location: As for ``torch.load``.

    Returns:
        The dict in the file, with mmengine's histories restored. It always contains ``state_dict``, a dict of dense
        tensors, and ``meta``, a dict. Other content is checked as in :mod:`~mmskelssl.engine.checkpoint_schema`.

    Raises:
        UserError: If the file does not exist, is damaged or crafted, or is not a checkpoint.
    """
    path = _path(path)
    try:
        check_file(path)
        with torch.serialization.safe_globals(STAND_INS):
            content = restore(torch.load(path, map_location=map_location, weights_only=True))
    except PermissionError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from error
    except Exception as error:  # a damaged or crafted file can fail in any way
        raise UserError(f'{path}: {_reason(path, error)}') from error
    return check_content(content, path)


def _path(path: str | PathLike) -> str:
    try:
        local = osp.expanduser(os.fspath(path))
    except TypeError:
        local = ''
    if not isinstance(local, str) or not local:
        raise UserError(f'{path!r} is not the path of a checkpoint')
    if '://' in local:
        raise UserError(f'{local}: remote checkpoints are not loaded; download the file, check it, and give its path')
    if '\0' in local or not osp.isfile(local):
        raise UserError(f'{local}: no such checkpoint file')
    return local


def _reason(path: str, error: Exception) -> str:
    if isinstance(error, ForeignName):
        kind = unusual_tensor(error.name)
        if kind:
            return f'refused, since it holds a tensor of an unsupported kind ({kind}: {error.name}); only dense ' \
                   'tensors of floats, integers and booleans are read'
        return f'refused, since it holds {error.name}, which is not plain data and could run code'
    if isinstance(error, Refused):
        return f'refused, since it {error}'
    if osp.getsize(path) == 0 or not is_zip(path):
        return 'not a readable checkpoint (truncated, or another kind of file); take another one'
    reason = ' '.join(str(error).split())[:200] if isinstance(error, ValueError) else type(error).__name__
    return f'damaged checkpoint ({reason or type(error).__name__}); take another one'


def _state_dict(checkpoint: dict) -> dict:
    return {name.removeprefix('module.'): value for name, value in checkpoint['state_dict'].items()}


def evaluated_prefix(checkpoint: dict) -> str:
    """Return the prefix of the encoder whose features are used, according to the method that wrote a checkpoint."""
    method = (checkpoint['meta'].get('mmskelssl') or {}).get('method')
    prefix = f'{getattr(MODELS.module_dict.get(method), "evaluated_part", "backbone")}.'
    return prefix if any(name.startswith(prefix) for name in checkpoint['state_dict']) else 'backbone.'


def load_backbone(model: nn.Module, path: str | PathLike, prefix: str | None = None) -> dict:
    """Load the complete encoder of ``model`` from a checkpoint.

    Args:
        model: A model with a ``backbone``, or the backbone itself.
        path: Path of the checkpoint.
        prefix: Prefix of the encoder's keys in the file. By default, :func:`evaluated_prefix`.

    Returns:
        The checkpoint.

    Raises:
        UserError: If any key or shape does not match.
    """
    checkpoint = load_checkpoint(path)
    load_whole(getattr(model, 'backbone', model), checkpoint, path, prefix or evaluated_prefix(checkpoint))
    return checkpoint


def _renamed(model: nn.Module, state: dict) -> dict:
    """Return a model's state dict under its current names; an older version may have written it."""
    rename = getattr(model, 'rename_state', None)
    return rename(state) if rename else state


def load_part(model: nn.Module, path: str | PathLike, prefix: str, source: str | None = None) -> None:
    """Load one complete part of ``model``, such as ``projector.``, from a checkpoint.

    Args:
        source: Prefix of the part's keys in the file. Default: ``prefix``.

    Raises:
        UserError: If the part does not exist, or any key or shape does not match.
    """
    name = prefix.rstrip('.')
    if not hasattr(model, name):
        raise UserError(f'{type(model).__name__} has no part {name!r} to load from {path}; '
                        'correct the prefixes carried over')
    state = _renamed(model, _state_dict(load_checkpoint(path)))
    load_whole(getattr(model, name), dict(state_dict=state), path, source or f'{name}.')


def load_whole(module: nn.Module, checkpoint: dict, path, prefix: str) -> None:
    """Load the checkpoint's tensors below ``prefix`` into ``module``. All keys and shapes must match."""
    wanted = module.state_dict()
    found = {name.removeprefix(prefix): value for name, value in _renamed(module, _state_dict(checkpoint)).items()
             if name.startswith(prefix)}
    misfits = {name: f'{prefix}{name} is missing' if name not in found else
               f'{prefix}{name} is {_kind(found[name])} instead of {_kind(value)}'
               for name, value in wanted.items() if name not in found or _kind(found[name]) != _kind(value)}
    problems = [*misfits.values(), *(f'{prefix}{name} is not in the model' for name in found if name not in wanted)]
    if problems:
        fit = len(wanted) - len(misfits)
        more = f' and {len(problems) - 3} more' if len(problems) > 3 else ''
        raise UserError(f'{path}: {fit} of the {len(wanted)} keys of the {prefix.rstrip(".") or "model"} fit '
                        f'({100 * fit // max(len(wanted), 1)} %): {"; ".join(problems[:3])}{more}. '
                        'It is the checkpoint of another model: use the config it was trained with')
    bad = [name for name in wanted if found[name].is_floating_point() and not found[name].isfinite().all()]
    if bad:
        raise UserError(f'{path}: {prefix}{bad[0]} holds NaN or infinite values; take an earlier checkpoint')
    module.load_state_dict(found)


def _kind(value: torch.Tensor) -> str:
    """Return the shape of a tensor, and its type unless it is a float: floats of any width are interchangeable."""
    return f'{tuple(value.shape)}' + ('' if value.is_floating_point() else f' of {str(value.dtype)[6:]}')


def build_from_checkpoint(path: str | PathLike) -> tuple[SkeletonEncoder, dict]:
    """Rebuild a model from the description inside its checkpoint, and load its weights.

    Returns:
        The model in eval mode, and ``meta['mmskelssl']`` with ``model`` and ``dataset`` decoded. ``not_loaded`` lists
        the keys outside the backbone that did not fit.
    """
    from mmskelssl.engine.rebuild import build_model
    checkpoint = load_checkpoint(path)
    info = describe(checkpoint, path)
    model = build_model(info['model'], os.fspath(path))
    load_whole(model.backbone, checkpoint, path, 'backbone.')
    wanted, state = model.state_dict(), _renamed(model, _state_dict(checkpoint))
    fit = {name: value for name, value in state.items() if name in wanted and _kind(wanted[name]) == _kind(value)}
    model.load_state_dict(fit, strict=False)
    return model.eval(), {**info, 'not_loaded': sorted({*wanted, *state} - {*fit})}
