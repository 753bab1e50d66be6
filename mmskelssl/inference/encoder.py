"""Pairs an encoder from a checkpoint with the store that it is applied to."""
import os
import os.path as osp
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from mmskelssl.datasets.skeleton_dataset import about_data, describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.engine.config import layout_config, load_config
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.run_spec import plain
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import usable_device
from mmskelssl.inference.pools import for_store, store_of
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.shipped import find_config


@dataclass(frozen=True)
class Encoder:
    """A model and matching data, checked by :func:`pair_with_data`.

    Args:
        path: Path of the checkpoint.
        model: The complete model.
        info: Description in the checkpoint, see :func:`~mmskelssl.engine.checkpoint.build_from_checkpoint`.
        store: Source of the clips.
        name: Name in tables. Default: the name of the method.
    """
    path: str
    model: SkeletonEncoder
    info: dict
    store: SkeletonStore
    name: str | None = None

    @property
    def method(self) -> str:
        return self.info.get('method') or self.info['model']['type']

    @property
    def stream(self) -> str:
        return self.info.get('stream', 'joint')

    @property
    def data(self) -> str:
        """Name of the store."""
        return osp.basename(osp.abspath(self.store.path))

    def trained_on(self) -> np.ndarray:
        """Return the positions (n,) of the clips in the store that the encoder was trained on, as far as it says so."""
        dataset = self.info['dataset']
        about = about_data(dataset)
        split = dataset.get('train_split') or about.get('split')
        if about.get('data_hash') != self.store.data_hash or split not in {'all', *self.store.splits}:
            return np.empty(0, np.int64)
        return self.store.split(str(split))

    def dataset(self, split: str):
        """Build the data set of a split, with the preprocessing of the encoder's training."""
        return build_dataset({**self.info['dataset'], 'store': self.store.path}, split, self.path)


def pair_with_data(path: str, model: SkeletonEncoder, info: dict, data: str | None = None,
                   name: str | None = None) -> Encoder:
    """Open the store of an encoder, or another one, and check that encoder and store match.

    Args:
        path, model, info, name: As for :class:`Encoder`.
        data: Store, or the name of one of the stores that the encoder was trained on. Default: the only one.

    Raises:
        UserError: If the checkpoint does not describe its preprocessing or does not name a store, or if the store has
            another layout or number of coordinates.
    """
    dataset = info.get('dataset') or {}
    if 'pipeline' not in dataset:
        raise UserError(f'{path}: does not say how its clips were preprocessed; use python tools/test.py CONFIG CKPT, '
                        'or give a config whose preprocessing it should have (embed --like CONFIG)')
    if dataset.get('stores'):
        data = store_of(info, data, path)
    if not (data or dataset.get('store')):
        raise UserError(f'{path}: does not name its data; add --data STORE')
    store = SkeletonStore(data or dataset['store'])
    if dataset.get('stores'):
        model, info = for_store(model, info, store, path)
        dataset = info['dataset']
    about = about_data(dataset)
    trained_on = get_layout(about.get('layout', store.layout))
    if trained_on != store.layout:
        raise UserError(f'{store.path} has layout {store.layout.name!r}, but {path} was trained on '
                        f'{trained_on.name!r}; choose another store')
    channels = coordinates(model, path)
    if channels != store.channels:
        raise UserError(f'{store.path} has {store.channels} coordinates a joint, but {path} was trained on {channels}; '
                        'choose another store')
    check_store_scores(model, path, store)
    if not data and about.get('data_hash', store.data_hash) != store.data_hash:
        print(f'note: {store.path} has changed since {path} was trained on it')
    return Encoder(path, model, info, store, name)


def build_encoder(path: str | os.PathLike, like: str | os.PathLike | None = None) -> tuple[SkeletonEncoder, dict]:
    """:func:`~mmskelssl.engine.checkpoint.build_from_checkpoint`, with the preprocessing of a config where it is given.

    Args:
        path: Checkpoint.
        like: Config, or name of a shipped one, for a checkpoint that does not describe its preprocessing, such as a
            converted one. It names the store, too.

    Raises:
        UserError: The checkpoint describes its preprocessing itself, or the config has none.
    """
    model, info = build_from_checkpoint(path)
    if like is None:
        return model, info
    if info.get('dataset'):
        raise UserError(f'{path} describes its own preprocessing: leave out --like {like}')
    data = load_config(find_config(str(like)))[-1][1].get('data') or {}
    if not data.get('pipeline'):
        raise UserError(f'--like {like}: this config has no data.pipeline')
    described = plain({key: data[key] for key in ('store', 'pipeline') if key in data})
    layout = cast(SkeletonLayout, model.data_preprocessor.layout)
    dataset = describe_data(described, layout=layout_config(layout))
    return model, {**info, 'dataset': dataset}


def check_store_scores(model: SkeletonEncoder, path: str, store: SkeletonStore) -> None:
    """Raise a UserError if a model was trained with the scores of the joints and the store has none."""
    if getattr(model.data_preprocessor, 'scores', False) and not store.has_scores:
        raise UserError(f'{store.path} has no scores, but {path} was trained with data.scores=True; choose another '
                        'store, or import the data with scores')


def coordinates(model: nn.Module, path: str) -> int:
    """Return the number of coordinates per joint that a model was trained on, from the channels of its backbone.

    The score of a joint is not a coordinate.
    """
    given = getattr(model, 'data_preprocessor', None)
    if not isinstance(given, SkeletonPreprocessor):
        raise UserError(f'{path}: its model has no data_preprocessor, which turns clips into what it takes')
    channels = getattr(getattr(model, 'backbone', None), 'in_channels', None)
    possible = [3] if given.stream == 'invariant' else [3, 1, 2, 4, 5, 6]
    made = {count: given.channels(count, given.alignment, given.velocity, given.scores, given.stream)
            for count in possible}
    found = next((count for count, number in made.items() if channels in (number, None)), None)
    if found is None:
        raise UserError(f'{path}: its backbone takes {channels} channels, and its preprocessor makes {made[3]} of 3 '
                        'coordinates')
    return found


def move_to(model: SkeletonEncoder, device: str | torch.device | None) -> SkeletonEncoder:
    """Move a model to a device; default the GPU where there is one."""
    return model.to(usable_device(device))
