"""Reports the mistakes in a config by key before anything is built."""
import ast
import difflib
import inspect
import logging
from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.optim.scheduler.param_scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmskelssl.engine.compiling import PARTS
from mmskelssl.engine.config_keys import check_top_level
from mmskelssl.engine.signatures import Arguments, arguments_at, classes_named
from mmskelssl.engine.value_types import wrong_types
from mmskelssl.errors import UserError

_CHECKED = ('model', 'data', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks',
            'custom_hooks', 'visualizer', 'log_processor', 'env_cfg', 'auto_scale_lr', 'model_wrapper_cfg')
# What must be a dict, if it is there, and whether it may also be None.
_DICTS = {'optim_wrapper.optimizer': False, 'train_dataloader.sampler': True, 'train_dataloader.batch_sampler': True,
          'auto_scale_lr': True, 'model_wrapper_cfg': True, 'visualizer': True, 'log_processor': True,
          'env_cfg': False, 'env_cfg.mp_cfg': False, 'env_cfg.dist_cfg': False}
_VALIDATION = ('nothing is validated by the training loop; default_hooks.knn.interval says how often features are '
               'measured')
# Arguments of mmengine's loop that are not supported here.
_UNUSED = {'train_cfg.val_interval': _VALIDATION, 'train_cfg.val_begin': _VALIDATION,
           'train_cfg.dynamic_intervals': _VALIDATION,
           'train_cfg.max_iters': 'training is counted in epochs; write train_cfg.max_epochs'}


def check_config(cfg: Config) -> None:
    """Refuse unused keys, unknown arguments and invalid values.

    Raises:
        UserError: If there is any mistake. The message lists all of them in one line.
    """
    check_top_level(cfg)
    mistakes = [*_values(cfg), *_unwritable(cfg._cfg_dict)]
    known = {mistake.partition(': ')[0] for mistake in mistakes}
    for key in _CHECKED:
        mistakes += [mistake for mistake in _arguments(cfg.get(key), key) if mistake.partition(': ')[0] not in known]
    if mistakes:
        raise UserError(f'{cfg.filename or "the config"}: {"; ".join(mistakes)}')


def _arguments(node, path: str) -> Iterator[str]:
    """Yield the mistakes in the names of a part of a config, and in the types of values that no class checks."""
    if isinstance(node, Mapping):
        found = arguments_at(path, node)
        if found is not None:
            yield from (f'{path}.{name}: {problem}' for name, problem in wrong_types(node, found))
        for name, value in node.items():
            where = f'{path}.{name}'
            if where in _UNUSED:
                yield f'{where} is not read: {_UNUSED[where]}'
            elif where == 'optim_wrapper.paramwise_cfg' and node.get('constructor'):
                pass  # the constructor's own
            elif found is not None and name not in found:
                yield f'{where}: {_refusal(node, name, found)}'
            else:
                yield from _arguments(value, where)
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _arguments(value, f'{path}.{i}')


def _refusal(node: Mapping, name: str, found) -> str:
    for _, kind in classes_named(node.get('type')):
        renamed = [*kind.rename_options({name: None})] if hasattr(kind, 'rename_options') else [name]
        if renamed != [name]:
            return f'{found.what} calls it {renamed[0]} now'
    close = difflib.get_close_matches(str(name), found.owners, 1)
    hint = f'did you mean {close[0]}?' if close else f'there are {", ".join(sorted(found.owners)) or "none"}'
    return f'{found.what} has no such argument; {hint}'


def _values(cfg: Config) -> Iterator[str]:
    """Yield the mistakes in values that no class of the project checks."""
    numbers = {'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 1, 'train_dataloader.num_workers': 0,
               'optim_wrapper.accumulative_counts': 1, 'auto_scale_lr.base_batch_size': 1}
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg'):
        if not isinstance(cfg.get(key), Mapping):
            yield f'{key}: {cfg.get(key)!r} is not a dict' if key in cfg else f'{key} is missing'
    for key in ('type', 'backbone', 'data_preprocessor'):
        if isinstance(cfg.get('model'), Mapping) and cfg.model.get(key) is None:
            yield f'model.{key} is missing'
    for where, least in numbers.items():
        part, key = where.split('.')
        node = cfg.get(part)
        value = node.get(key, least) if isinstance(node, Mapping) else least
        if type(value) is not int or value < least:
            yield f'{where}: {value!r} is not an integer of at least {least}'
    for where in ('train_cfg.max_epochs', 'train_dataloader.batch_size'):
        part, key = where.split('.')
        if isinstance(cfg.get(part), Mapping) and key not in cfg[part]:
            yield f'{where} is missing'
    yield from _loop(cfg.get('train_cfg'))
    yield from _loader(cfg.get('train_dataloader'))
    yield from _optimiser(cfg.get('optim_wrapper'))
    for where, empty in _DICTS.items():
        *parents, key = where.split('.')
        node = cfg.get(parents[0]) if parents else cfg
        value = node.get(key, {}) if isinstance(node, (Mapping, Config)) else {}
        if not isinstance(value, Mapping) and not (empty and value is None):
            yield f'{where}: {value!r} is not a dict'
    yield from _schedule(cfg.get('param_scheduler'))
    level = cfg.get('log_level', 'INFO')
    if type(level) is not int and not (isinstance(level, str) and type(logging.getLevelName(level)) is int):
        yield f'log_level: {level!r} is not a level; write DEBUG, INFO, WARNING or ERROR'
    if cfg.get('sync_bn') not in (None, False, 'torch'):
        yield f"sync_bn: {cfg.sync_bn!r} is not 'torch' or None"
    if not isinstance(cfg.get('find_unused_parameters', False), bool):
        yield f'find_unused_parameters: {cfg.find_unused_parameters!r} is not True or False'
    compile = cfg.get('compile', False)
    part = compile.get('part', 'encoders') if isinstance(compile, Mapping) else compile
    if not isinstance(part, bool) and part not in PARTS:
        yield (f'compile: {compile!r} is not True, False, one of {", ".join(PARTS)}, or a dict of one of them as part '
               'and arguments of torch.compile')
    scale = cfg.get('auto_scale_lr')
    if isinstance(scale, Mapping) and scale.get('enable') and 'base_batch_size' not in scale:
        yield 'auto_scale_lr.base_batch_size is missing: the batch size that the learning rate was chosen for'
    wrapper = cfg.get('model_wrapper_cfg')
    if isinstance(wrapper, Mapping) and wrapper.get('type', 'MMDistributedDataParallel') not in (
            'MMDistributedDataParallel', 'mmskelssl.SyncBNDataParallel'):
        yield (f'model_wrapper_cfg.type: {wrapper["type"]!r} is not supported: every process needs the whole model; '
               'write MMDistributedDataParallel')


def _loop(loop) -> Iterator[str]:
    if not isinstance(loop, Mapping):
        return
    if not loop.get('by_epoch', True):
        yield 'train_cfg.by_epoch: training is counted in epochs; write by_epoch=True and max_epochs'
    kinds = [kind for _, kind in classes_named(loop.get('type'))] if 'type' in loop else []
    if any(isinstance(kind, type) and not issubclass(kind, EpochBasedTrainLoop) for kind in kinds):
        yield (f'train_cfg.type: {loop["type"]!r} does not count epochs; write a class derived from '
               'ResumableTrainLoop, or leave type out')


def _unwritable(node, path: str = '') -> Iterator[str]:
    """Yield the values that cannot be written to the copy of the config in the work_dir, such as classes."""
    if isinstance(node, (Mapping, list, tuple)):
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _unwritable(value, f'{path}.{key}' if path else str(key))
    elif not isinstance(node, (str, int, float, type(None))):
        try:
            ast.parse(repr(node), mode='eval')
        except SyntaxError:
            yield (f"{path}: {node!r} cannot be written to the config of the run; name a class as text, as in "
                   "type='SGD', and delete what the file imports for itself (del SGD)")


def _schedule(schedulers) -> Iterator[str]:
    for i, part in enumerate(schedulers if isinstance(schedulers, (list, tuple)) else [schedulers or {'type': ''}]):
        if not isinstance(part, Mapping) or 'type' not in part:
            yield f'param_scheduler.{i}: {part!r} is not a dict with a type; write [dict(type=...), ...]'
        elif _derives(part['type'], ReduceOnPlateauParamScheduler):
            yield (f'param_scheduler.{i}.type: {part["type"]} acts only after a validation loop, and a run has none: '
                   'write another schedule')


def _derives(name, base: type) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, base) for _, kind in classes_named(name))


def _loader(loader) -> Iterator[str]:
    if not isinstance(loader, Mapping):
        return
    sampler = loader.get('sampler')
    if isinstance(sampler, Mapping) and _derives(sampler.get('type'), InfiniteSampler):
        yield (f'train_dataloader.sampler.type: {sampler["type"]} never ends an epoch, and training is counted in '
               'epochs; write DefaultSampler')
    if loader.get('shuffle') is not None:  # DataLoader ignores False next to a sampler
        yield 'train_dataloader.shuffle is not read: write train_dataloader.sampler.shuffle'
    if loader.get('timeout') and not loader.get('num_workers'):
        yield f'train_dataloader.timeout: {loader["timeout"]!r} is for workers; set num_workers, or leave it out'
    batches = loader.get('num_batch_per_epoch')
    if batches is not None and (type(batches) is not int or batches < 1):
        yield f'train_dataloader.num_batch_per_epoch: {batches!r} is not an integer of at least 1'


def _optimiser(wrapper) -> Iterator[str]:
    """Yield the mistakes in what mmengine passes on to torch, or looks up by name and otherwise ignores."""
    if not isinstance(wrapper, Mapping):
        return
    clip = wrapper.get('clip_grad')
    if isinstance(clip, Mapping):
        yield from _clipping(clip)
    elif clip is not None:
        yield f'optim_wrapper.clip_grad: {clip!r} is not a dict; write dict(max_norm=...)'
    paramwise = wrapper.get('paramwise_cfg') or {}
    if not isinstance(paramwise, Mapping):
        yield f'optim_wrapper.paramwise_cfg: {paramwise!r} is not a dict'
        return
    if wrapper.get('constructor'):
        return
    optimizer = wrapper.get('optimizer')
    own = arguments_at('optim_wrapper.optimizer', optimizer) if isinstance(optimizer, Mapping) else None
    keys = paramwise.get('custom_keys') or {}
    for name, value in paramwise.items():
        if name.endswith('_mult') and not _is_number(value):
            yield f'optim_wrapper.paramwise_cfg.{name}: {value!r} is not a number'
    for key, options in keys.items() if isinstance(keys, Mapping) else ():
        where = f'optim_wrapper.paramwise_cfg.custom_keys[{key!r}]'
        if not isinstance(options, Mapping):
            yield f'{where}: {options!r} is not a dict; write dict(lr_mult=...)'
            continue
        for name, value in options.items():
            if name in ('lr_mult', 'decay_mult'):
                if not _is_number(value):
                    yield f'{where}.{name}: {value!r} is not a number'
            elif own is not None and name not in own:
                yield f'{where}.{name} is not read; there are lr_mult, decay_mult and the arguments of the optimizer'


def _clipping(clip: Mapping) -> Iterator[str]:
    kind = clip.get('type', 'norm')
    limits = {'norm': 'max_norm', 'value': 'clip_value'}
    if kind not in limits:
        yield f"optim_wrapper.clip_grad.type: {kind!r} is not 'norm' or 'value'"
        return
    limit, function = limits[kind], clip_grad_norm_ if kind == 'norm' else clip_grad_value_
    known = set(inspect.signature(function).parameters) - {'parameters'} | {'type'}
    for name in clip:
        if name not in known:
            yield (f'optim_wrapper.clip_grad.{name}: clipping by {kind} has no such argument; there are '
                   f'{", ".join(sorted(known))} (_delete_=True drops those of a base file)')
    if not _is_number(clip.get(limit)) or not clip[limit] > 0:
        yield f'optim_wrapper.clip_grad.{limit}: {clip.get(limit)!r} is not a number above 0'
    # torch takes the text 'inf' as norm_type
    others = {name: value for name, value in clip.items() if name != limit and (name, value) != ('norm_type', 'inf')}
    for name, problem in wrong_types(others, Arguments({name: function for name in known - {'type'}})):
        yield f'optim_wrapper.clip_grad.{name}: {problem}'


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
