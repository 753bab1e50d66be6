"""Checks the content of a checkpoint once, when it is read, so that no other code has to.

Checkpoints may come from untrusted sources. Every value that is later used as a string, a number or a tensor is
checked here.
"""
import json
import re
from collections.abc import Callable, Sequence

import torch

from mmskelssl.datasets.skeleton_dataset import ABOUT
from mmskelssl.datasets.store.schema import unique_keys
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.provenance import MAX_COMMAND

_HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
_RANDOM = {'python', 'numpy', 'torch', 'cuda'}
MAX_JSON = 1 << 24  # characters of a description
_LABEL = re.compile(r'[\w%][\w.+% -]{0,199}')


def _label(value) -> bool:
    """Return whether a value is a name that can be printed and used in a file name."""
    return type(value) is str and _LABEL.fullmatch(value) is not None


def _line(value) -> bool:
    return type(value) is str and value.isprintable() and len(value) <= MAX_COMMAND


def _count(value) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _text(value) -> bool:
    return type(value) is str and len(value) <= MAX_JSON


# Keys of meta['mmskelssl']: a check of the value, and its description in messages. None counts as a missing key.
_FIELDS: dict[str, tuple[Callable, str]] = {
    **{key: (_text, 'a JSON text') for key in ('model', 'dataset', 'decisive')},
    **{key: (_label, 'a name of letters, digits and ._+%-') for key in (
        'method', 'stream', 'data_hash', 'config_hash', 'source', 'launcher')},
    'command': (_line, f'a line of at most {MAX_COMMAND} characters'),
    **{key: (_count, 'a whole number') for key in ('seed', 'epoch', 'iteration', 'world_size', 'epoch_length',
                                               'spec_version', 'threads')},
}


def check_content(content, path) -> dict:
    """Return a checkpoint's content in a uniform form, with ``state_dict`` (name -> dense tensor) and ``meta`` (dict).

    If the file itself is a state dict, as some programs write, it becomes ``state_dict``. ``meta['config']`` is
    dropped because mmengine executes it when it resumes.

    Raises:
        UserError: If a value is invalid. The message names the file and the key.
    """
    if not isinstance(content, dict):
        raise UserError(f'{path}: holds a {type(content).__name__}, not a checkpoint')
    _texts(content, path, 'the file')
    if 'state_dict' not in content:
        tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
        content = {**{name: value for name, value in content.items() if name not in tensors}, 'state_dict': tensors}
    state = content['state_dict']
    if not isinstance(state, dict):
        raise UserError(f'{path}: state_dict is a {type(state).__name__}, not a dict of tensors')
    _texts(state, path, 'state_dict')
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise UserError(f'{path}: state_dict[{name!r}] is a {type(value).__name__}, not a tensor')
    twice = next((name for name in state if name.startswith('module.') and name.removeprefix('module.') in state), None)
    if twice:
        raise UserError(f'{path}: state_dict holds {twice!r} with and without "module."')
    meta = content['meta'] = {} if content.get('meta') is None else content['meta']
    if not isinstance(meta, dict):
        raise UserError(f'{path}: meta is a {type(meta).__name__}, not a dict')
    meta.pop('config', None)
    for key in ('epoch', 'iter'):
        if key in meta and not _count(meta[key]):
            raise UserError(f'{path}: meta.{key} is not a whole number')
    info = meta.get('mmskelssl')
    if info is not None:
        _check_info(info, path)
    return content


def _texts(mapping: dict, path, what: str) -> None:
    for key in mapping:
        if type(key) is not str or not key.isprintable() or len(key) > 500:
            raise UserError(f'{path}: {what} has the key {str(key)[:50]!r}, which is not a name')


def _check_info(info, path) -> None:
    if not isinstance(info, dict):
        raise UserError(f'{path}: meta.mmskelssl is a {type(info).__name__}, not a dict')
    check_fields(info, path, 'meta.mmskelssl')


def check_fields(info: dict, path, where: str, decoded: Sequence[str] = ()) -> None:
    """Check the values of the description of a run, and drop those that are None.

    Args:
        info: The description, which is changed.
        path: File that it comes from, for messages.
        where: Place of the description in the file, for messages.
        decoded: Keys that are objects here instead of JSON texts.

    Raises:
        UserError: If a value is invalid.
    """
    for key, (fits, words) in _FIELDS.items():
        if info.get(key) is None:
            info.pop(key, None)
        elif key in decoded:
            if not isinstance(info[key], dict):
                raise UserError(f'{path}: {where}.{key} is a {type(info[key]).__name__}, not an object')
        elif not fits(info[key]):
            raise UserError(f'{path}: {where}.{key} is not {words}')


def check_resumable(checkpoint: dict, path, optimizer=None, schedulers=()) -> None:
    """Refuse a checkpoint that training cannot resume from, where mmengine would fail with a traceback.

    Args:
        optimizer: The optimiser, or its wrapper, that will load the saved state.
        schedulers: The schedulers that will load the saved states, in order.

    Raises:
        UserError: If the checkpoint is incomplete or does not fit. The message names the file and the part.
    """
    missing = {'optimizer', 'message_hub'} - set(checkpoint) | {key for key in ('epoch', 'iter')
                                                                if key not in checkpoint['meta']}
    if not checkpoint['state_dict']:
        missing.add('state_dict')
    if missing:
        raise UserError(f'{path}: cannot be resumed from, it has no {", ".join(sorted(missing))}')
    optimizer_state, hub = checkpoint['optimizer'], checkpoint['message_hub']
    groups = optimizer_state.get('param_groups') if isinstance(optimizer_state, dict) else None
    whole = (isinstance(groups, list) and isinstance(optimizer_state.get('state'), dict)
             and all(isinstance(group, dict) and isinstance(group.get('params'), list) for group in groups)
             and all(isinstance(state, dict) for state in optimizer_state['state'].values()))
    if not whole:
        raise UserError(f'{path}: cannot be resumed from, its optimizer has no state and param_groups')
    if optimizer is not None:
        _check_fit(optimizer_state, optimizer, path)
    if not isinstance(hub, dict) or not all(isinstance(hub.get(key), dict) for key in _HUB):
        raise UserError(f'{path}: cannot be resumed from, its message_hub has no dicts {", ".join(_HUB)}')
    seed = checkpoint['meta'].get('seed')
    if seed is not None and not (type(seed) is int and 0 <= seed < 1 << 32):
        raise UserError(f'{path}: cannot be resumed from, meta.seed is not a seed')
    saved = [] if checkpoint.get('param_schedulers') is None else checkpoint['param_schedulers']
    if not isinstance(saved, list) or not all(isinstance(part, dict) for part in saved):
        raise UserError(f'{path}: cannot be resumed from, its param_schedulers are not a list of dicts')
    for part, scheduler in zip(saved, schedulers or (), strict=False):
        _check_alike(part, vars(scheduler), path, 'a scheduler')
    states = [] if checkpoint['meta'].get('random') is None else checkpoint['meta']['random']
    if not isinstance(states, list) or not all(isinstance(state, dict) and set(state) >= _RANDOM for state in states):
        raise UserError(f'{path}: cannot be resumed from, meta.random is not a list of states of generators')


def _check_alike(saved: dict, now: dict, path, what: str) -> None:
    """Check that numbers remain numbers: schedulers and optimisers load any value from a file."""
    for key, value in saved.items():
        number = type(now.get(key)) in (int, float) and not (value is None or type(value) in (int, float))
        if type(key) is not str or key.startswith('__') or number or (callable(now.get(key)) and key in now):
            raise UserError(f'{path}: cannot be resumed from, {what} has {str(key)[:50]}={str(value)[:50]!r}')


def _check_fit(saved: dict, optimizer, path) -> None:
    sizes = [[len(group['params']) for group in groups] for groups in (saved['param_groups'], optimizer.param_groups)]
    if sizes[0] != sizes[1]:
        raise UserError(f'{path}: cannot be resumed from, its optimizer has groups of {sizes[0]} weights, and the '
                        f'config makes groups of {sizes[1]}')
    for group, now in zip(saved['param_groups'], optimizer.param_groups, strict=True):
        _check_alike(group, now, path, 'its optimizer')
    weights = [weight for group in optimizer.param_groups for weight in group['params']]
    ids = [number for group in saved['param_groups'] for number in group['params']]
    places = {number: i for i, number in enumerate(ids) if type(number) is int}
    for number, state in saved['state'].items():
        shapes = {tuple(state[key].shape) if isinstance(state[key], torch.Tensor) else None
                  for key in ('momentum_buffer', 'exp_avg', 'exp_avg_sq') if state.get(key) is not None}
        if number not in places or shapes - {tuple(weights[places[number]].shape)}:
            raise UserError(f'{path}: cannot be resumed from, its optimizer has a state of another shape than weight '
                            f'{str(number)[:20]}')


def describe(checkpoint: dict, path) -> dict:
    """Return ``meta['mmskelssl']`` of a checked checkpoint, with ``model`` and, if present, ``dataset`` as dicts.

    Both contain the parts that every reader needs: the model has a ``type`` and a ``backbone``, and the data set has a
    ``pipeline`` and a ``layout``. The types that they name are checked when they are built, see
    :mod:`mmskelssl.engine.allow_list`.

    Raises:
        UserError: If a description is missing, is not JSON, or lacks one of these parts.
    """
    info = checkpoint['meta'].get('mmskelssl') or {}
    if 'model' not in info:
        raise UserError(f'{path}: does not say how to build its model (written by another program?); '
                        'use python tools/test.py CONFIG CKPT')
    return check_description({**info, **{key: decode_object(info[key], f'{key} description', path)
                                         for key in ('model', 'dataset') if key in info}}, path)


def check_description(info: dict, path) -> dict:
    """Check the parts of a decoded description that every reader needs. Return it with ``method``.

    Raises:
        UserError: If the model has no type or backbone, or the data set no pipeline or layout.
    """
    model, dataset = info['model'], info.get('dataset')
    if type(model.get('type')) is not str or not isinstance(model.get('backbone'), dict) \
            or type(model['backbone'].get('type')) is not str:
        raise UserError(f'{path}: its model description names no type, or no backbone with a type')
    if dataset is not None:
        _check_dataset(dataset, path)
        stores = dataset.get('stores', [])
        if not isinstance(stores, list) or not all(isinstance(entry, dict) for entry in stores):
            raise UserError(f'{path}: the stores of its data set are not a list of dicts')
        for entry in stores:
            _check_dataset(entry, path)
            if not _label(entry.get(ABOUT, {}).get('name')):
                raise UserError(f'{path}: a store of its data set has no name of letters, digits and ._+%-')
    return {'method': model['type'], **info}


def _check_dataset(dataset: dict, path) -> None:
    """Check the description of a data set over one store, or what several stores have in common."""
    pipeline, about = dataset.get('pipeline'), dataset.get(ABOUT, dataset)
    if not isinstance(about, dict):
        raise UserError(f'{path}: its description of the data is a {type(about).__name__}, not a dict')
    if not isinstance(pipeline, list) or not pipeline or not all(isinstance(step, dict) for step in pipeline) \
            or not isinstance(about.get('layout'), (str, dict)):
        raise UserError(f'{path}: does not say how its clips were preprocessed (its data set needs a pipeline and '
                        'a layout); take a checkpoint written by tools/train.py')
    try:
        get_layout(about['layout'])
    except UserError as error:
        raise UserError(f'{path}: its data set: {error}') from error
    for key in ('store', 'data_hash', 'split', 'train_split', 'test_split'):
        value = about.get(key) if key == 'data_hash' else dataset.get(key)
        if value is not None and not (type(value) is str and value.isprintable()):
            raise UserError(f'{path}: its data set has a {key} that is not a text')


def decode_object(text: str, what: str, path) -> dict:
    """Parse a JSON object from a file. NaN, infinite numbers, keys with two values, and values
    other than objects are refused."""
    def refuse(constant):
        raise ValueError(f'{constant} is not JSON')
    try:
        made = json.loads(text, parse_constant=refuse, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:  # also a ValueError: a number with thousands of digits
        raise UserError(f'{path}: its {what} is not JSON: {" ".join(str(error).split())[:200]}') from error
    if not isinstance(made, dict):
        raise UserError(f'{path}: its {what} is a {type(made).__name__}, not a dict')
    return made
