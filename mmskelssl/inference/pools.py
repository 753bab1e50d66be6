"""Encoders that were trained on several stores: which stores, and how clips of one of them are prepared."""
import os
import os.path as osp
from collections.abc import Mapping

from mmskelssl.datasets.skeleton_dataset import about_data, describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.config import layout_config
from mmskelssl.engine.rebuild import build_preprocessor
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.layouts.union import describe_joints
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.pool_preprocessor import PoolPreprocessor, narrowed, narrowed_config


def pool_of(info: Mapping) -> dict[str, dict]:
    """Return the stores that an encoder was trained on: name -> description. Empty for a single store."""
    return {about_data(entry)['name']: entry for entry in (info.get('dataset') or {}).get('stores') or []}


def store_of(info: dict, data: str | None, path: str) -> str:
    """Return the folder of the store that a command names: a folder, or the name of a store of the pool.

    Raises:
        UserError: If no store is named.
    """
    pool = pool_of(info)
    if data is None:
        raise UserError(f'{path} was trained on several stores: choose one with --data, a folder or one of '
                        f'{", ".join(pool)}')
    return pool[data].get('store', data) if data in pool and not osp.isdir(data) else data


def for_store(model: SkeletonEncoder, info: dict, store: SkeletonStore, path: str) -> tuple[SkeletonEncoder, dict]:
    """Return a pooled encoder and its description as if it had been trained on one store.

    A store of the pool gets the pipeline that it had in training. Any other store gets that of ``data.pipeline``.

    Args:
        model, info: The encoder, which shares its weights with the result.
        store: Store of any layout of the pool, or of another one whose joints all have a canonical name that a layout
            of the pool has. What it lacks is printed.
        path: File of the encoder, for messages.

    Raises:
        UserError: If the encoder does not know a joint of the store.
    """
    pool = pool_of(info)
    entry = next((one for one in pool.values() if about_data(one).get('data_hash') == store.data_hash), None) or \
        next((one for one in pool.values() if one.get('store') and _same(one['store'], store.path)), None)
    model, info = for_layout(model, info, store.layout, path)
    if entry:
        about = {**about_data(entry), **{key: about_data(info['dataset'])[key] for key in ('layout', 'pool')}}
        info = {**info, 'dataset': describe_data(entry, **about)}
    return model, info


def for_layout(model: SkeletonEncoder, info: dict, layout: SkeletonLayout, path: str) -> tuple[SkeletonEncoder, dict]:
    """Return a pooled encoder, and its description, for clips of one layout. Its preprocessing is ``data.pipeline``.

    Arguments and errors are those of :func:`for_store`.
    """
    dataset = info['dataset']
    about = {**about_data(dataset), 'pool': [*pool_of(info)]}
    described = {key: dataset[key] for key in ('pipeline', 'scores') if key in dataset}
    if isinstance(preprocessor := model.data_preprocessor, PoolPreprocessor):
        if layout not in [member.layout for member in preprocessor.members.values()]:
            check_unseen(layout, preprocessor.layout, path)
        about['layout'] = layout_config(layout)
        config = narrowed_config(info['model']['data_preprocessor'], about['layout'])
        model = narrowed(model, build_preprocessor(config, path))
        info = {**info, 'model': {**info['model'], 'data_preprocessor': config}}
    elif get_layout(about['layout']) != layout:
        raise UserError(f'the clips have layout {layout.name!r}, but {path} was trained on '
                        f'{get_layout(about["layout"]).name!r}')
    return model, {**info, 'dataset': describe_data(described, **about)}


def check_unseen(layout: SkeletonLayout, union: SkeletonLayout, path: str) -> None:
    """Print what a layout outside the pool lacks.

    Raises:
        UserError: If the encoder does not know a joint of the layout.
    """
    names = {joint: name for name, joint in layout.named.items()}
    unknown = [layout.joints[joint] for joint in range(layout.num_joints) if names.get(joint) not in union.joints]
    if unknown:
        raise UserError(f'layout {layout.name!r} has joints that {path} was not trained on ({", ".join(unknown)}): '
                        'convert the clips to a layout of its pool (mmskelssl prepare convert)')
    print(f'note: {path} was not trained on layout {layout.name!r}, which has {describe_joints(layout, union)}')


def layouts_of(info: Mapping) -> list[SkeletonLayout]:
    """Return the different layouts that an encoder was trained on."""
    found = [get_layout(about_data(entry)['layout']) for entry in pool_of(info).values()] or \
        [get_layout(about_data(info['dataset'])['layout'])]
    return [layout for i, layout in enumerate(found) if layout not in found[:i]]


def _same(first: str, second: str | os.PathLike) -> bool:
    return osp.realpath(first) == osp.realpath(second)
