"""The members of a saved model: encoders with their descriptions."""
import os.path as osp
from dataclasses import dataclass

from mmskelssl.datasets.skeleton_dataset import about_data, describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference.pools import pool_of
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.provenance import without_folders

# Keys of a checkpoint's description that a saved model keeps. The path of the store is not among them, and those in the
# command are shortened.
KEPT = ('method', 'stream', 'seed', 'epoch', 'iteration', 'data_hash', 'config_hash', 'source', 'spec_version',
        'command', 'launcher', 'world_size')


@dataclass
class Member:
    """An encoder of a saved model.

    Args:
        model: A :class:`~mmskelssl.models.FrozenEncoder`, or a :class:`~mmskelssl.models.SkeletonClassifier`.
        info: Its description, with ``model`` and ``dataset`` as dicts.
    """
    model: SkeletonEncoder
    info: dict


def model_config(config: dict, kind: str = 'FrozenEncoder', **arguments) -> dict:
    """Return the config of the encoder inside a model, without what only pre-training needs.

    Args:
        config: Config of the model.
        kind: Type of the new model.
        **arguments: Further arguments of it.
    """
    preprocessor = {key: value for key, value in config['data_preprocessor'].items() if key != 'views'}
    made = dict(type=kind, backbone=config['backbone'], data_preprocessor=preprocessor,
                pooling=config.get('pooling', 'mean'), **arguments)
    return made if config.get('concat_persons') is None else dict(made, concat_persons=config['concat_persons'])


def member_of(model: SkeletonEncoder, info: dict, kind: str = 'FrozenEncoder', **arguments) -> Member:
    """Return the encoder of a model as a member, with a copy of its weights.

    Args:
        model: Any model whose features are those of its pooled backbone.
        info: Its description, see :func:`~mmskelssl.engine.checkpoint.build_from_checkpoint`.
        kind, **arguments: As for :func:`model_config`.

    Raises:
        UserError: If the model computes its features in another way.
    """
    if type(model).extract_feat is not SkeletonEncoder.extract_feat or type(model).pool is not SkeletonEncoder.pool:
        raise UserError(f'{type(model).__name__} computes its features in its own way (extract_feat), so its encoder '
                        'cannot be saved by itself')
    config = model_config(info['model'], kind, **arguments)
    made = build_model(config, info.get('method') or kind)
    made.backbone.load_state_dict(model.evaluated.state_dict())
    dataset, about = info['dataset'], about_data(info['dataset'])
    stores = []
    for entry in dataset.get('stores') or []:
        facts = about_data(entry)
        if store := training_store(entry):
            facts.update({key: store.head[key] for key in ('fps', 'units') if store.head.get(key)})
        stores.append(describe_data(_preprocessing(entry), **facts))
    if stores:
        about.setdefault('name', ' + '.join(pool_of(info)))
    if dataset.get('store'):
        about.setdefault('name', osp.basename(osp.abspath(dataset['store'])))
    if dataset.get('train_split'):
        about.setdefault('split', dataset['train_split'])
    if (store := training_store(dataset)) and store.head.get('units'):
        about.setdefault('units', store.head['units'])
    kept = {key: info[key] for key in KEPT if info.get(key) is not None}
    if 'command' in kept:
        kept['command'] = without_folders(kept['command'])
    described = _preprocessing(dataset) | (dict(stores=stores) if stores else {})
    return Member(made.eval(), dict(kept, model=config, dataset=describe_data(described, **about)))


def _preprocessing(dataset: dict) -> dict:
    return {key: dataset[key] for key in ('pipeline', 'scores') if key in dataset}


def training_store(dataset: dict) -> SkeletonStore | None:
    """Return the store that a description names, if it is there and has not changed since."""
    try:
        store = SkeletonStore(dataset['store'])
    except (KeyError, UserError):
        return None
    return store if store.data_hash == about_data(dataset).get('data_hash') else None
