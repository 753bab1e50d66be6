"""Completes a config that trains on several stores: ``data = dict(stores=[dict(store=..., weight=...), ...])``."""
import os.path as osp
import re
from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from mmskelssl.datasets.pool import Pool
from mmskelssl.engine.shuffle import USUAL
from mmskelssl.engine.signatures import takes
from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_number
from mmskelssl.registry import MODELS

_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')
OF_ENTRIES = ('weight', 'name')  # keys of an entry that are not keys of `data`


def is_pool(data) -> bool:
    """Return whether ``data`` names several stores."""
    return isinstance(data, Mapping) and data.get('stores') is not None


def check_entries(data: ConfigDict) -> None:
    """Complete the entries of ``data.stores``: each gets the other keys of ``data``, where it has none, and a name.

    Raises:
        UserError: If an entry is invalid. The message names its place.
    """
    given = data.stores
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(entry, Mapping) for entry in given):
        raise UserError(f'data.stores is {str(given)[:80]!r}; it must be a list of dict(store=..., weight=..., '
                        'split=...)')
    if data.get('store') is not None:
        raise UserError(f'data has store = {data.store!r} and stores: leave out one of them (data.store = None '
                        'overrides a base file)')
    if not data.get('pipeline'):
        raise UserError('data.pipeline is missing: every store without a pipeline of its own takes it')
    common = {key: value for key, value in data.items() if key not in ('store', 'stores') and value is not None}
    entries = []
    for i, entry in enumerate(given):
        if not isinstance(entry.get('store'), str):
            raise UserError(f'data.stores.{i}.store is {entry.get("store")!r}; it must be the folder of a store')
        name = entry.get('name', osp.basename(osp.abspath(entry['store'])))
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserError(f'data.stores.{i}.name is {name!r}; it must be a name of letters, digits and _.-')
        entries.append(ConfigDict({**common, **entry, 'name': name}))
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f'data.stores: two stores have the name {twice!r}: give them different ones with name=...')
    weighted = [entry.get('weight') is not None for entry in entries]
    if any(weighted) and not all(weighted):
        raise UserError(f'data.stores.{weighted.index(False)}.weight is missing: give every store a weight, or none, '
                        'and each counts by its clips')
    for i, entry in enumerate(entries):
        if entry.get('weight') is not None:
            check_number(f'data.stores.{i}.weight', entry.weight, above=0)
    data.stores = entries


def check_sampler(loader: ConfigDict, data: ConfigDict) -> None:
    """Select the sampler of pools, in place of the default one."""
    if any(part.get('shuffle') is not None for part in (data, *data.stores)):
        raise UserError('data.shuffle is not read with data.stores, whose weights decide what is drawn: leave it out')
    given = loader.get('sampler') or {}
    if {**USUAL, **given} != USUAL and given != dict(type='PoolSampler'):
        raise UserError(f'train_dataloader.sampler is {dict(given)}: with data.stores, the weights of the stores '
                        'decide what is drawn; leave it out')
    if loader.get('batch_sampler'):
        raise UserError('train_dataloader.batch_sampler is not read with data.stores: leave it out')
    loader.sampler = dict(type='PoolSampler')


def most_persons(entry: Mapping, store) -> int:
    """Return the number of persons in a store's clips after its pipeline."""
    chosen = [step['max_persons'] for step in entry['pipeline'] if 'max_persons' in step]
    return chosen[-1] if chosen else int(store.persons.max())


def fill_pool(cfg: Config, pool: Pool, layout_config) -> None:
    """Set what the model needs for several stores: layouts, the number of persons, and masks of missing joints.

    Args:
        pool: The stores.
        layout_config: Function from a layout to a config value.

    Raises:
        UserError: If the method cannot be trained on several layouts.
    """
    model = cfg.model
    preprocessor, backbone = model.data_preprocessor, model.backbone
    persons = [most_persons(entry, store) for entry, store in zip(cfg.data.stores, pool.stores.values(), strict=True)]
    if takes(backbone.type, 'num_persons'):
        backbone.setdefault('num_persons', max(persons))
    if len(set(persons)) > 1:
        preprocessor.setdefault('num_persons', max(persons))
    if len(pool.layouts) == 1:
        return
    kind = preprocessor.get('type', 'SkeletonPreprocessor')
    if kind not in ('SkeletonPreprocessor', 'PoolPreprocessor'):
        raise UserError(f'model.data_preprocessor.type is {kind!r}: it prepares clips of one layout, and the stores '
                        f'have {", ".join(layout.name for layout in pool.layouts)}')
    if not getattr(MODELS.get(model.type), 'takes_pools', True):
        raise UserError(f'{model.type} mixes the joints of different clips, so all stores must have one layout; they '
                        f'have {", ".join(layout.name for layout in pool.layouts)}: convert them (mmskelssl prepare '
                        'convert), or use another method')
    preprocessor.type = 'PoolPreprocessor'
    preprocessor.layouts = [layout_config(layout) for layout in pool.layouts]
    if takes(backbone.type, 'masked'):
        backbone.setdefault('masked', True)
