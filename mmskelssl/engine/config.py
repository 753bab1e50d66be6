"""Turns a config file into configs that mmengine's Runner can run: checks, data and stages."""
import copy
import os.path as osp
from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from mmskelssl.datasets.pool import Pool
from mmskelssl.datasets.skeleton_dataset import ABOUT, check_scores, dataset_config, describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.remote import is_remote
from mmskelssl.engine.config_check import check_config
from mmskelssl.engine.config_files import read_config
from mmskelssl.engine.config_keys import check_top_level
from mmskelssl.engine.distributed import is_first_process, process_count
from mmskelssl.engine.named_hooks import complete_hooks
from mmskelssl.engine.options import apply_options
from mmskelssl.engine.pool_config import OF_ENTRIES, check_entries, check_sampler, fill_pool, is_pool
from mmskelssl.engine.run_spec import RunSpec, describe_run
from mmskelssl.engine.shuffle import choose_sampler
from mmskelssl.engine.signatures import classes_named, takes
from mmskelssl.engine.streams import apply_by_stream, record_by_stream
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.registry import MODELS
from mmskelssl.shipped import config_path

MAX_HELD_OUT = 256  # training clips held out for monitors by default if the store has no test split


def load_config(path: str, options: dict | None = None) -> list[tuple[str, Config]]:
    """Read a config and the earlier stages that it names.

    Args:
        path: Config file. ``stages = [dict(name, config, carry)]`` lists the stages that run before it. A last entry
            without ``config``, ``dict(name)``, gives the file's own stage a name. By default, that is the first part
            of the name of the file.
        options: Dotted keys to change. They take precedence over ``by_stream``. See
            :func:`~mmskelssl.engine.options.apply_options`.

    Returns:
        A list of (name, config) in the order of training, ready for :func:`complete`. The last entry is the file
        itself. The values of ``by_stream`` for the chosen stream are applied.

    Raises:
        UserError: If a file does not exist or contains a mistake.
    """
    if not osp.isfile(path):
        raise UserError(f'{path}: no such config; see configs/')
    cfg = read_config(path)
    stages = [(stage['name'], read_config(_stage_path(stage['config'], path))) for stage in earlier_stages(cfg)]
    name = osp.splitext(osp.basename(path))[0]
    stages.append((own_name(cfg) or name.split('_')[0] if stages else name, cfg))
    if len({name for name, _ in stages}) < len(stages):
        raise UserError(f'{path}: stages: the name {stages[-1][0]!r} appears twice; name the stage of this file with a '
                        'last entry dict(name=...)')
    written = [copy.deepcopy(cfg) if cfg.get('by_stream') else cfg for _, cfg in stages]
    for _, cfg in stages:
        check_top_level(cfg)
    batches = [_batch_size(cfg) for _, cfg in stages]
    apply_options(stages, options or {})
    if any([apply_by_stream(cfg, before) for (_, cfg), before in zip(stages, written, strict=True)]):
        apply_options(stages, options or {})
        for _, cfg in stages:
            record_by_stream(cfg)
    for (_, cfg), batch in zip(stages, batches, strict=True):
        scale = cfg.get('auto_scale_lr')
        if isinstance(scale, dict) and scale.get('enable') and batch:  # for which its learning rate was chosen
            scale.setdefault('base_batch_size', batch)
    return stages


def _batch_size(cfg: Config) -> int | None:
    loader = cfg.get('train_dataloader')
    return loader.get('batch_size') if isinstance(loader, Mapping) else None


def own_name(cfg: Config) -> str | None:
    """Return the name that ``stages`` gives to the stage of the config itself."""
    given = cfg.get('stages') or []
    own = given[-1] if isinstance(given, (list, tuple)) and len(given) > 1 else None
    if isinstance(own, Mapping) and set(own) == {'name'} and isinstance(own['name'], str):
        return own['name'] or None
    return None


def earlier_stages(cfg: Config) -> list[Mapping]:
    """Return the entries of ``stages`` for the stages that run before the config itself.

    Raises:
        UserError: If an entry is malformed.
    """
    given = cfg.get('stages') or []
    given = given[:-1] if own_name(cfg) else given
    for i, stage in enumerate(given if isinstance(given, (list, tuple)) else [given]):
        if not (isinstance(stage, Mapping) and {'name', 'config'} <= set(stage) <= {'name', 'config', 'carry'}):
            raise UserError(f'{cfg.filename}: stages.{i} is {stage!r}; it must be dict(name=..., config=..., '
                            'carry=[...])')
        if not isinstance(stage.get('carry', []), (list, tuple, Mapping)):
            raise UserError(f'{cfg.filename}: stages.{i}.carry is {stage["carry"]!r}; it must be a list of prefixes of '
                            "parameters, such as ['backbone.']")
    return given


def _stage_path(name: str, path: str) -> str:
    file = config_path(name, path)
    if not osp.isfile(file):
        raise UserError(f'{path}: stages: no such config: {file}; name one that comes with mmskelssl as '
                        f'mmskelssl::{osp.basename(name)}')
    return file


def split_pair(split: str) -> tuple[str, str]:
    """Return the names of a protocol's splits: train, test for ``standard`` and xsub_train, xsub_test for ``xsub``."""
    return ('train', 'test') if split == 'standard' else (f'{split}_train', f'{split}_test')


def complete(cfg: Config, seed: int | None = None) -> tuple[Config, RunSpec]:
    """Fill in derived values: the data sets, the layout and channels of the model, the hooks and the seed.

    Args:
        cfg: A config from :func:`load_config`, or one that is already complete. It is not modified.
        seed: Default: ``randomness.seed`` of the config, else 0.

    Returns:
        A config that a Runner can run, and the description of everything that determines its result.

    Raises:
        UserError: If the config contains a mistake or does not match its store.
    """
    cfg = copy.deepcopy(cfg)
    before = cfg.get('randomness')
    complete_randomness(cfg, seed)
    complete_hooks(cfg)
    check_config(cfg)
    cfg.setdefault('default_scope', 'mmskelssl')
    _match_seed(cfg, before)
    store = check_data(cfg)
    fill_model(cfg, store)
    return cfg, describe_run(cfg, described_data(cfg.data, store), process_count(cfg.get('launcher', 'none')))


def described_data(data: Mapping, store: SkeletonStore | Pool) -> dict:
    """Return the config's ``data`` with what follows from its stores: splits, hashes and layouts."""
    about = dict(data_hash=store.data_hash, layout=layout_config(store.layout))
    if not isinstance(store, Pool):
        train_split, test_split = split_pair(data['split'])
        return dict(data, train_split=train_split, test_split=test_split, **about)
    stores = [described_data(entry, store.stores[entry['name']]) for entry in data['stores']]
    return dict({key: data[key] for key in ('pipeline', 'scores') if key in data}, stores=stores, **about)


def check_data(cfg: Config) -> SkeletonStore | Pool:
    """Open and check the stores that ``data`` names, and fill in the data sets for training and monitoring.

    ``data = dict(store, split, pipeline, prepare)`` is the single place that names the data. ``prepare`` is the command
    that creates the store, shown if the store does not exist. ``type`` selects a custom data set class, which receives
    all other keys. ``stores``, a list of such dicts, takes the place of ``store`` to train on several.
    """
    data = cfg.get('data')
    if not data:
        raise UserError('the config has no `data = dict(store=..., split=..., pipeline=[...])`')
    loader, first = cfg.train_dataloader, is_first_process(cfg.get('launcher', 'none'), on_its_machine=True)
    store: SkeletonStore | Pool
    if is_pool(data):
        check_entries(data)
        check_sampler(loader, data)
        opened, configs, evaluations = {}, [], {}
        for i, entry in enumerate(data.stores):
            own = ConfigDict({key: value for key, value in entry.items() if key not in OF_ENTRIES})
            opened[entry.name], config, evaluations[entry.name] = check_store(own, first, f'data.stores.{i}')
            entry.update(own)
            configs.append(config)
        store, evaluation = Pool(opened), dict(stores=evaluations)
        for entry, config in zip(data.stores, configs, strict=True):
            clips = len(opened[entry.name].split(config['split'])) - config.get('held_out', 0)
            if entry.get('weight') is None:
                entry.weight = clips
        dataset = dict(type='PooledDataset', stores=configs, names=[entry.name for entry in data.stores],
                       weights=[entry.weight for entry in data.stores])
    else:
        store, dataset, evaluation = check_store(data, first)
        choose_sampler(loader, data, store)
    if loader.get('dataset', dataset) != dataset:
        raise UserError('train_dataloader.dataset is not read: `data` describes the data set (type, store, ...)')
    loader.dataset = dataset
    # The scope is explicit because mmengine looks up collate functions only in its root registry.
    loader.setdefault('collate_fn', dict(type='mmskelssl.whole_batch'))
    joins = loader.collate_fn.get('type') if isinstance(loader.collate_fn, Mapping) else None
    if joins in ('default_collate', 'pseudo_collate') and any(
            hasattr(kind, '__getitems__') for _, kind in classes_named(dataset['type'])):
        raise UserError(f'train_dataloader.collate_fn: {joins} joins single clips, but the data set reads whole '
                        'batches: leave it out')
    if any(part.get('resident') for part in data.get('stores') or [data]):
        # Nothing to read, and workers cannot access the device's memory.
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False, prefetch_factor=None)
    if cfg.get('evaluation') not in (None, evaluation):
        raise UserError('evaluation is not read: `data` describes what KNNHook measures on; '
                        'default_hooks.knn.evaluation names another store')
    cfg.evaluation = evaluation
    return store


def check_store(data: ConfigDict, verify: bool, where: str = 'data') -> tuple[SkeletonStore, dict, dict]:
    """Open and check the store of ``data``, whose missing keys are filled in.

    Args:
        data: A config's ``data`` with one store.
        verify: Compare the store with its hash.
        where: Place of ``data`` in the config, for messages.

    Returns:
        The store, the config of the data set for training, and the description for monitors.
    """
    given = {'train_split', 'test_split', ABOUT} & set(data)
    if given:
        raise UserError(f'{where}.{min(given)} is not an argument of a data set: it follows from the store and '
                        f'{where}.split')
    data.setdefault('split', 'standard')
    data.setdefault('prepare', f'python tools/prepare_data.py SOURCE PATH --out {data.store}')
    train_split, test_split = split_pair(data.split)
    store = open_store(data)
    store.split(train_split)
    if verify:
        store.verify_hash()
    monitored = test_split if test_split in store.splits else None
    # Without a test split, features are monitored on held-out clips of the training split.
    if monitored is None and takes(data.get('type', 'SkeletonDataset'), 'held_out'):
        data.setdefault('held_out', min(MAX_HELD_OUT, len(store.split(train_split)) // 10))
    dataset = dataset_config(describe_data(data), train_split)
    if data.get('held_out'):
        dataset['held_out'] = data.held_out
    source = {**data, 'train_split': train_split, 'test_split': monitored}
    for key in ('split', 'prepare', 'resident', 'shuffle'):
        source.pop(key, None)
    return store, dataset, describe_data(source)


def fill_model(cfg: Config, store: SkeletonStore | Pool) -> None:
    """Set the seed of the model, the layout and channels of the store, and whether the clips have scores."""
    model = cfg.model
    model.data_preprocessor.seed = cfg.randomness.seed
    scores = _match_scores(cfg, store)
    given = model.data_preprocessor
    channels = SkeletonPreprocessor.channels(store.channels, given.get('alignment', 'none'),
                                             given.get('velocity', False), scores, given.get('stream', 'joint'))
    _match_length(cfg)
    if isinstance(store, Pool):
        fill_pool(cfg, store, layout_config)
    for part in (model.data_preprocessor, model.backbone):
        _match_layout(part.setdefault('layout', layout_config(store.layout)), store)
    if model.backbone.setdefault('in_channels', channels) != channels:
        raise UserError(f'model.backbone.in_channels is {model.backbone.in_channels}, but {store.path} with this '
                        f'alignment and stream gives {channels}')


def _match_seed(cfg: Config, before: Mapping | None) -> None:
    """Refuse a seed of the views alone. A complete config has the one of its ``randomness``, given as ``before``."""
    given = cfg.model.data_preprocessor.get('seed')
    if given not in (None, (before or {}).get('seed') or 0, cfg.randomness.seed):
        raise UserError(f'model.data_preprocessor.seed is {given!r}, but it is not read: randomness.seed, or --seed, '
                        'seeds the views, too')


def _match_scores(cfg: Config, store: SkeletonStore | Pool) -> bool:
    """Return ``data.scores`` after checking it, and set it in the preprocessor."""
    scores, preprocessor = cfg.data.get('scores', False), cfg.model.data_preprocessor
    for i, entry in enumerate(cfg.data.get('stores') or []):
        if entry.get('scores', False) != scores:
            raise UserError(f'data.stores.{i}.scores differs from data.scores: set data.scores alone')
    for one in store.stores.values() if isinstance(store, Pool) else [store]:
        check_scores(one, scores)
    if scores and 'scores' not in preprocessor:
        method = MODELS.get(cfg.model.type)
        if hasattr(method, 'check_takes_scores'):
            method.check_takes_scores()
        preprocessor.scores = True
    if preprocessor.get('scores', False) != scores:
        raise UserError('model.data_preprocessor.scores is not read: data.scores adds the scores as a channel')
    return scores


def complete_randomness(cfg: Config, seed: int | None = None) -> None:
    """Complete ``randomness``: the seed is the given one, else the config's, else 0, and differs between ranks."""
    given = cfg.get('randomness') or {}
    if not isinstance(given, Mapping):
        raise UserError(f'randomness is {given!r}; it must be dict(seed=..., deterministic=...)')
    made = {'seed': 0, 'deterministic': False, 'diff_rank_seed': True, **given}
    if seed is not None or made['seed'] is None:
        made['seed'] = seed or 0
    unknown = set(made) - {'seed', 'deterministic', 'diff_rank_seed'}
    if unknown:
        raise UserError(f'randomness.{min(unknown)} does not exist; there are seed, deterministic, diff_rank_seed')
    if type(made['seed']) is not int or not 0 <= made['seed'] < 2 ** 32:
        raise UserError(f'the seed is {made["seed"]!r}; it must be an integer from 0 to {2 ** 32 - 1}')
    for key in ('deterministic', 'diff_rank_seed'):
        if not isinstance(made[key], bool):
            raise UserError(f'randomness.{key} is {made[key]!r}; it must be True or False')
    cfg.randomness = made


def open_store(data: Mapping) -> SkeletonStore:
    """Open the store that a config's ``data`` names. If it does not exist, the error shows the command to create it."""
    if not is_remote(data['store']) and not osp.isdir(data['store']):
        raise UserError(f'no store at {data["store"]}; make it with: {data["prepare"]}')
    return SkeletonStore(data['store'])


def layout_config(layout: SkeletonLayout):
    """Return a layout as a config value: its name if it is registered, else its fields."""
    try:
        if get_layout(layout.name) == layout:
            return layout.name
    except UserError:
        pass
    return layout.fields()


def _match_length(cfg: Config) -> None:
    """Refuse padded clips for methods that ignore the true length of a clip."""
    pipelines = [part.pipeline for part in cfg.data.get('stores') or [cfg.data]]
    padded = any(step['type'] == 'PadFrames' for pipeline in pipelines for step in pipeline)
    if padded and not getattr(MODELS.get(cfg.model.type), 'variable_length', False):
        raise UserError(f'{cfg.model.type} takes clips of one length: put ResizeFrames instead of PadFrames into '
                        'data.pipeline')


def _match_layout(given, store: SkeletonStore | Pool) -> None:
    given, expected = get_layout(given), store.layout
    if given != expected:
        raise UserError(f'{store.path} has layout {expected.name!r} ({expected.num_joints} joints), but the config '
                        f'expects {given.name!r} ({given.num_joints} joints): change one of them')
