"""Describes everything that determines the result of a run, hashes it, and compares it with other runs."""
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmengine.config import Config

from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.engine.named_hooks import decides_result, deciding_hooks, usual_name
from mmskelssl.engine.pool_config import OF_ENTRIES
from mmskelssl.errors import UserError

# Increase it when the description of an unchanged run changes. Checkpoints of all earlier versions still resume.
VERSION = 2
SCHEDULE = ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr')
# Dotted keys that do not affect the result: where the data are (their hash counts) and how fast they are read; the
# order of the clips, which train_dataloader.sampler records; the splits that follow from `data.split`; the layout,
# which the hash covers; the copy of the seed in the preprocessor.
_INDIFFERENT = {
    *(f'data.{key}' for key in ('store', 'prepare', 'cache_dir', 'resident', 'preprocess', 'shuffle', 'train_split',
                                'test_split', 'layout')),
    *(f'train_dataloader.{key}' for key in ('dataset', 'num_workers', 'persistent_workers', 'pin_memory',
                                            'prefetch_factor', 'timeout', 'multiprocessing_context')),
    'model.data_preprocessor.seed', 'model.data_preprocessor.non_blocking'}
_OF_A_STORE = re.compile(r'data\.stores\.\d+\.')  # where the keys of `data` are, if there are several stores
# Keys that descriptions of version 1 do not record. The values of the current run are assumed for them.
_UNKNOWN_TO_FIRST = ('sync_bn', 'custom_hooks', 'auto_scale_lr', 'model_wrapper_cfg')


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines the result of a run, as plain data with the keys of its config.

    Args:
        model: Complete model config, from which the model can be built.
        data: The config's ``data``, with ``train_split``, ``test_split``, ``data_hash`` and ``layout``. If there are
            several stores, ``stores`` has such an entry for each.
        schedule: The keys :data:`SCHEDULE` of the config.
        hooks: Those ``default_hooks`` and ``custom_hooks`` that affect the result.
        seed: Seed of weights, order and augmentation.
        world: ``world_size`` (number of processes), ``sync_bn``, ``diff_rank_seed`` and ``model_wrapper_cfg``.
    """
    model: dict
    data: dict
    schedule: dict
    hooks: dict
    seed: int
    world: dict

    def decisive(self) -> dict[str, object]:
        """Return a dict from dotted key to value of everything that determines the result."""
        world = dict(self.world)
        randomness = dict(seed=self.seed, diff_rank_seed=world.pop('diff_rank_seed', True))
        hooks = {key: value for key, value in self.hooks.items() if value}
        return _flatten(dict(model=self.model, data=self.data, **self.schedule, **hooks, randomness=randomness,
                             **world))

    def to_json(self) -> str:
        """Return :meth:`decisive` as canonical JSON."""
        return to_json(self.decisive())

    @property
    def hash(self) -> str:
        """Version of the description and 16 hexadecimal digits. Runs with the same result have the same hash."""
        return f'v{VERSION}-{hashlib.sha256(self.to_json().encode()).hexdigest()[:16]}'

    @property
    def stream(self) -> str:
        return self.model['data_preprocessor'].get('stream', 'joint')

    @property
    def dataset(self) -> dict:
        """Description from which :func:`mmskelssl.engine.rebuild.build_dataset` builds the data set of any split."""
        if 'stores' not in self.data:
            return _describe_store(self.data)
        stores = [_describe_store({key: value for key, value in entry.items() if key not in OF_ENTRIES},
                                  name=entry['name']) for entry in self.data['stores']]
        return _describe_store({**self.data, 'stores': stores})

    def meta(self) -> dict:
        """Return the description of the run in a checkpoint. It contains only strings and numbers, for any reader."""
        return dict(model=to_json(self.model), method=self.model['type'], seed=self.seed, stream=self.stream,
                    dataset=to_json(self.dataset), data_hash=self.data['data_hash'], config_hash=self.hash,
                    decisive=self.to_json(), spec_version=VERSION, world_size=self.world['world_size'])

    def differences(self, info: Mapping) -> list[str]:
        """Return the differences from a checkpoint's ``meta['mmskelssl']``, one line per key.

        Keys that the checkpoint's version of the description does not record are not compared.

        Raises:
            UserError: If the description cannot be read.
        """
        now = self.decisive()
        try:
            then = _read(info, self, now)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise UserError(f'the description of its run cannot be read ({type(error).__name__}: {error})') from error
        # None differs from a missing key because the default may be another value.
        return [f'{key} was {then.get(key, "absent")} and is {now.get(key, "absent")}'
                for key in sorted({*then, *now}) if (key in then, then.get(key)) != (key in now, now.get(key))]


def describe_run(cfg: Config, data: Mapping, world_size: int) -> RunSpec:
    """Describe the run of a complete config.

    Args:
        data: As in :class:`RunSpec`.
        world_size: Number of processes.
    """
    keys = ('model', 'randomness', 'sync_bn', 'model_wrapper_cfg', *SCHEDULE)
    given = plain({key: cfg.get(key) for key in keys})
    world = dict(world_size=world_size, sync_bn=given['sync_bn'], model_wrapper_cfg=given['model_wrapper_cfg'],
                 diff_rank_seed=given['randomness']['diff_rank_seed'])
    return RunSpec(given['model'], plain(data), {key: given[key] for key in SCHEDULE}, plain(deciding_hooks(cfg)),
                   given['randomness']['seed'], world)


def refuse_changes(path: str, checkpoint: Mapping, spec: RunSpec, allow: bool) -> list[str]:
    """Refuse to continue a checkpoint of a different run.

    Args:
        spec: Description of the run that will continue.
        allow: Return the differences instead of raising.

    Returns:
        The differences, one line per key.

    Raises:
        UserError: If the runs differ and ``allow`` is False, or the checkpoint's description cannot be read.
    """
    try:
        changes = spec.differences(checkpoint['meta'].get('mmskelssl') or {})
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    if changes and not allow:
        more = f'; and {len(changes) - 8} more' if len(changes) > 8 else ''
        raise UserError(f'{path} was written by a different run: {"; ".join(changes[:8])}{more}. Undo the change, or '
                        'add --allow-change to continue with it')
    return changes


def to_json(value) -> str:
    """Return the canonical JSON of a plain config value."""
    return json.dumps(value.to_dict() if hasattr(value, 'to_dict') else value, sort_keys=True, default=_encode)


def plain(value):
    """Return a config value after a round trip through JSON: tuples become lists, and classes become their names."""
    return json.loads(to_json(value))


def _encode(value):
    """Encode values that JSON does not support: classes by name, arrays and other collections as lists."""
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    if hasattr(value, 'tolist'):
        return value.tolist()
    return sorted(value) if isinstance(value, (set, frozenset)) else list(value)


def _describe_store(data: Mapping, **about) -> dict:
    other = ('split', 'prepare', 'resident', 'preprocess', 'shuffle', 'held_out', 'data_hash', 'layout')
    return describe_data({key: value for key, value in data.items() if key not in other},
                         data_hash=data['data_hash'], layout=data['layout'], **about)


def _flatten(node: Mapping) -> dict[str, object]:
    return dict(_leaves(node, ''))


def _leaves(node, path: str) -> Iterator[tuple[str, object]]:
    """Yield (dotted key, value) of every leaf that affects the result."""
    if _OF_A_STORE.sub('data.', path) in _INDIFFERENT or re.fullmatch(r'data\.stores\.\d+\.name', path) \
            or path.endswith('.layout.canonical'):  # the hash of the data covers canonical names
        return
    if not isinstance(node, (dict, list)) or not node:
        yield path, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _leaves(value, f'{path}.{key}' if path else str(key))


def _read(info: Mapping, spec: RunSpec, now: Mapping) -> dict[str, object]:
    """Return :meth:`RunSpec.decisive` of a checkpoint. Missing keys are taken from ``now``, that of ``spec``."""
    hashes = {key: info.get(key.removeprefix('data.'), now[key]) for key in ('data.data_hash', 'world_size')}
    version = info.get('spec_version', 1)
    if 'decisive' not in info:  # written by another program
        return {**now, **hashes}
    if version not in (1, VERSION):
        raise ValueError(f'it has version {version}, and this program reads 1 to {VERSION}; a newer one is needed')
    then = json.loads(info['decisive'])
    if version == VERSION:
        return then
    unknown = {key: value for key, value in now.items() if key.split('.')[0] in _UNKNOWN_TO_FIRST}
    return {**unknown, **hashes, **_flatten(_translate_first(then, spec))}


def _translate_first(then: dict, spec: RunSpec) -> dict:
    """Translate a description of version 1, whose method hooks were a list: they get the hook names of ``spec``."""
    hooks, known = then.pop('method_hooks', None) or [], spec.hooks['custom_hooks']
    names = {hook['type']: name for name, hook in spec.hooks['default_hooks'].items()}
    return {**then, 'default_hooks': {names.get(hook['type'], usual_name(hook['type'])): hook for hook in hooks
                                      if decides_result(hook) and hook not in known}}
