"""One description of a run: what decides its result, its hash, and how it differs from another's."""
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmengine.config import Config

from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.engine.named_hooks import decides_result, deciding_hooks, usual_name
from mmskelssl.errors import UserError

# Raise it when the same run would be described otherwise. Checkpoints of every earlier version still resume.
VERSION = 2
SCHEDULE = ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr')
# Dotted keys that decide nothing: where the data are (their hash decides) and how fast they are read; the splits that
# follow from `data.split`; the layout, which the hash covers; the seed's copy in the preprocessor.
_INDIFFERENT = {
    *(f'data.{key}' for key in ('store', 'prepare', 'cache_dir', 'resident', 'train_split', 'test_split', 'layout')),
    *(f'train_dataloader.{key}' for key in ('dataset', 'num_workers', 'persistent_workers', 'pin_memory',
                                            'prefetch_factor', 'timeout', 'multiprocessing_context')),
    'model.data_preprocessor.seed', 'model.data_preprocessor.non_blocking'}
# What descriptions of the first version did not say: there the present run's values are taken for granted.
_UNKNOWN_TO_FIRST = ('sync_bn', 'custom_hooks', 'auto_scale_lr', 'model_wrapper_cfg')


@dataclass(frozen=True)
class RunSpec:
    """What decides a run's result, as plain data, in the words of its config.

    Args:
        model: The model's config, complete: it can be built from this alone.
        data: The config's ``data``, with ``train_split``, ``test_split``, ``data_hash`` and ``layout``.
        schedule: The keys :data:`SCHEDULE` of the config.
        hooks: ``default_hooks`` and ``custom_hooks``, as far as they decide a result.
        seed: Of weights, order and augmentation.
        world: ``world_size`` (processes), ``sync_bn``, ``diff_rank_seed``, ``model_wrapper_cfg``.
    """
    model: dict
    data: dict
    schedule: dict
    hooks: dict
    seed: int
    world: dict

    def decisive(self) -> dict[str, object]:
        """Dotted key of the config -> value, of everything that decides the result."""
        world = dict(self.world)
        randomness = dict(seed=self.seed, diff_rank_seed=world.pop('diff_rank_seed', True))
        hooks = {key: value for key, value in self.hooks.items() if value}
        return _flatten(dict(model=self.model, data=self.data, **self.schedule, **hooks, randomness=randomness,
                             **world))

    def to_json(self) -> str:
        """:meth:`decisive` as canonical JSON."""
        return to_json(self.decisive())

    @property
    def hash(self) -> str:
        """Version of the description, and 16 hexadecimal digits: equal for runs with the same result."""
        return f'v{VERSION}-{hashlib.sha256(self.to_json().encode()).hexdigest()[:16]}'

    @property
    def stream(self) -> str:
        return self.model['data_preprocessor'].get('stream', 'joint')

    @property
    def dataset(self) -> dict:
        """What a data set of either split is built from; see :func:`mmskelssl.engine.rebuild.build_dataset`."""
        other = ('split', 'prepare', 'resident', 'held_out', 'data_hash', 'layout')
        return describe_data({key: value for key, value in self.data.items() if key not in other},
                             data_hash=self.data['data_hash'], layout=self.data['layout'])

    def meta(self) -> dict:
        """What a checkpoint says of its run: strings and numbers alone, for any reader."""
        return dict(model=to_json(self.model), method=self.model['type'], seed=self.seed, stream=self.stream,
                    dataset=to_json(self.dataset), data_hash=self.data['data_hash'], config_hash=self.hash,
                    decisive=self.to_json(), spec_version=VERSION, world_size=self.world['world_size'])

    def differences(self, info: Mapping) -> list[str]:
        """What a checkpoint's ``meta['mmskelssl']`` says otherwise, one line a key.

        What the checkpoint's version of the description does not record is not compared.
        """
        now = self.decisive()
        try:
            then = _read(info, self, now)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise UserError(f'the description of its run cannot be read ({type(error).__name__}: {error})') from error
        # None and a missing key are not the same: the default may be another value.
        return [f'{key} was {then.get(key, "absent")} and is {now.get(key, "absent")}'
                for key in sorted({*then, *now}) if (key in then, then.get(key)) != (key in now, now.get(key))]


def describe_run(cfg: Config, data: Mapping, world_size: int) -> RunSpec:
    """The spec of a config that is complete otherwise.

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
    """Refuse to continue a checkpoint whose run was another one.

    Args:
        spec: The run that is to continue.
        allow: Return the differences instead.
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
    """Canonical JSON of a plain config value."""
    return json.dumps(value.to_dict() if hasattr(value, 'to_dict') else value, sort_keys=True, default=_encode)


def plain(value):
    """A config value as JSON would give it back: tuples are lists, classes are their names."""
    return json.loads(to_json(value))


def _encode(value):
    """What JSON has no word for: classes by name, arrays and other collections as lists."""
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    if hasattr(value, 'tolist'):
        return value.tolist()
    return sorted(value) if isinstance(value, (set, frozenset)) else list(value)


def _flatten(node: Mapping) -> dict[str, object]:
    return dict(_leaves(node, ''))


def _leaves(node, path: str) -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything that has no parts and decides something."""
    if path in _INDIFFERENT:
        return
    if not isinstance(node, (dict, list)) or not node:
        yield path, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _leaves(value, f'{path}.{key}' if path else str(key))


def _read(info: Mapping, spec: RunSpec, now: Mapping) -> dict[str, object]:
    """:meth:`RunSpec.decisive` of a checkpoint. What it does not record is filled in from ``now``, that of ``spec``."""
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
    """A description of version 1 in the words of today: its method hooks were a list, and get the names of ``spec``."""
    hooks, known = then.pop('method_hooks', None) or [], spec.hooks['custom_hooks']
    names = {hook['type']: name for name, hook in spec.hooks['default_hooks'].items()}
    return {**then, 'default_hooks': {names.get(hook['type'], usual_name(hook['type'])): hook for hook in hooks
                                      if decides_result(hook) and hook not in known}}
