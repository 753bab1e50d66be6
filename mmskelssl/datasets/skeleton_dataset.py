"""The data set over a store: it reads whole batches, preprocessed once or batch by batch."""
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from torch.utils.data import Dataset, default_collate

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.batch_pipeline import BatchPipeline, StoredClips
from mmskelssl.datasets.cache import cached
from mmskelssl.datasets.cache_or_batch import choose
from mmskelssl.datasets.preprocessing import PART, preprocess
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.registry import DATASETS, FUNCTIONS, TRANSFORMS

# Part of the cache key. Increase it when the result of a transform changes.
PREPROCESSING_VERSION = 4


# Also register it in the root: mmengine looks up collate functions only there, regardless of the default scope.
@ROOT_FUNCTIONS.register_module(force=True)
@FUNCTIONS.register_module()
def whole_batch(batch: dict | list[dict]) -> dict:
    """Collate function for data sets whose ``__getitems__`` returns a batch. Lists from wrappers are stacked."""
    return batch if isinstance(batch, dict) else default_collate(batch)


# Keys of a config's ``data`` that are not arguments of the data set, and the key for facts about the data themselves.
# ``held_out`` is an argument only in pre-training.
_SPLITS, ABOUT = ('split', 'train_split', 'test_split', 'prepare', 'held_out', 'shuffle'), 'about'
_OLD_ABOUT = ('data_hash', 'layout')  # stored among the arguments in checkpoints of version 0.1.0


def describe_data(data: Mapping, **about) -> dict:
    """Describe data for checkpoints: the arguments of the data set, and facts about the data under ``about``."""
    return {**{key: value for key, value in data.items() if key != ABOUT}, ABOUT: about}


def about_data(data: Mapping) -> dict:
    """Return the facts in a description, such as ``layout`` and ``data_hash``. Older checkpoints are supported."""
    if ABOUT in data:
        return dict(data[ABOUT])
    return {key: data[key] for key in _OLD_ABOUT if key in data}


def dataset_config(data: Mapping, split: str) -> dict:
    """Return the config of the data set that ``data`` describes.

    It contains ``type`` (default SkeletonDataset), store, pipeline and all other arguments of the class. Only ``split``
    differs between splits.

    Args:
        data: A config's ``data``, or a description from a checkpoint (:func:`describe_data`).
        split: Name of the split.
    """
    other = {*_SPLITS, ABOUT} if ABOUT in data else {*_SPLITS, *_OLD_ABOUT}
    arguments = {key: value for key, value in data.items() if key not in other}
    return {'type': 'SkeletonDataset', **arguments, 'split': split}


@DATASETS.register_module()
class SkeletonDataset(Dataset):
    """Preprocessed samples of one split.

    The deterministic pipeline runs over the whole store once. The result is cached next to the store as one array,
    named after the hash of store and pipeline. All workers and ranks share the memory-mapped array, and a batch is one
    indexed read. For a store whose cache would be too large, the pipeline runs over each batch instead. The clips are
    the same up to rounding.

    Args:
        store: Folder of a :class:`SkeletonStore`.
        split: Name of a split, or ``all``.
        pipeline: Configs of transforms. The last one is PackSkeleton.
        cache_dir: Folder of the preprocessed array. Default: the store's folder ``cache`` or, if the user does not own
            it, ``mmskelssl`` in the user's cache directory.
        resident: ``device`` keeps the split's clips on the training device and gathers batches there instead of reading
            the mapped array. It excludes data workers. Other splits and later evaluation are not affected.
        held_out: Number of clips, evenly spaced over the split, to hold out.
        part: Part of the split in this data set: ``rest`` or ``held_out``.
        scores: Whether the scores of the joints are the last channel of the clips.
        preprocess: ``cache`` or ``batch``; ``auto`` chooses by the size of the cache
            (:func:`~mmskelssl.datasets.cache_or_batch.choose`).

    Attributes:
        ids: Sample ids of the split, in order.
        preprocess: ``cache`` or ``batch``.
        chosen: Why.
        clips, num_frames: Clips of the whole store (N, C, T, V, M), and their true lengths (N,). Only with the cache.

    Raises:
        UserError: The store, the split or an argument is invalid.
    """

    def __init__(self, store: str, split: str, pipeline: list[dict], cache_dir: str | None = None,
                 resident: str | None = None, held_out: int = 0, part: str = 'rest', scores: bool = False,
                 preprocess: str = 'auto'):
        if resident not in (None, 'device'):
            raise UserError(f"data.resident is {resident!r}; it must be 'device' or None")
        self.store, self.split, self.cache_dir = SkeletonStore(store), split, cache_dir
        check_scores(self.store, scores)
        self.pipeline = pipeline = packed_pipeline(pipeline, scores)
        self.positions = _part(self.store.split(split), held_out, part)
        self.labels = self.store.labels[self.positions]
        self.ids: Sequence[str] = StoredIds(self.store, self.positions)
        self.num_classes = len(self.store.classes) or int(self.store.labels.max()) + 1
        if self.labels.max() >= self.num_classes:
            worst = int(self.labels.argmax())
            raise UserError(f'{store}: sample {self.ids[worst]} has label {self.labels[worst]}, but there are '
                            f'{self.num_classes} classes')
        self.preprocess, self.chosen = choose(self.store, pipeline, cache_key(self.store, pipeline), cache_dir,
                                              preprocess)
        self._open()
        self.resident, self.deferred = resident, False
        self.held: torch.Tensor | None = None
        self.metainfo = dict(classes=self.store.classes, layout=self.store.layout.name,
                             data_hash=self.store.data_hash, split=split)

    def __getstate__(self):
        # The arrays are not pickled: a spawned worker maps the files itself.
        opened = ('clips', 'num_frames', 'batches')
        return {**{key: value for key, value in self.__dict__.items() if key not in opened}, 'held': None}

    def __setstate__(self, state: dict):
        self.__dict__.update(state)
        if self.store.data_hash != self.metainfo['data_hash']:
            raise UserError(f'{self.store.path} has changed while in use: start again')
        self._open()

    def _open(self) -> None:
        if self.preprocess == 'batch':
            self.batches = BatchPipeline(self.store, self.pipeline)
        else:
            self.clips, self.num_frames = preprocessed(self.store, self.pipeline, self.cache_dir)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def subjects(self) -> np.ndarray:
        """(N,) int64; -1 for unknown subjects. Training does not use them."""
        return self.store.subjects[self.positions]

    def defer(self) -> None:
        """Leave preprocessing per batch to the model's preprocessor, which does it on the device.

        Without a cache, ``inputs`` of a batch are then the clips as stored
        (:class:`~mmskelssl.datasets.batch_pipeline.StoredClips`), and ``num_frames`` follows from the pipeline.
        """
        self.deferred = self.preprocess == 'batch' and not self.resident

    def __getitems__(self, indices: list[int]) -> dict:
        """Return a batch: ``inputs`` (B, C, T, V, M) float32; ``data_samples`` with index, num_frames and any label."""
        return self._batch(indices, self.deferred)

    def _batch(self, indices: list[int], stored: bool) -> dict:
        chosen = np.asarray(indices)
        rows = self.positions[chosen]
        samples = dict(index=torch.from_numpy(rows))
        inputs: torch.Tensor | StoredClips
        if stored:
            inputs = self.batches.stored(rows)
        else:
            inputs, samples['num_frames'] = self._read_held(chosen) if self.resident else self._read(rows)
        if (self.labels >= 0).all():
            samples['label'] = torch.from_numpy(self.labels[chosen])
        return dict(inputs=inputs, data_samples=samples)

    def _read(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return clips and true lengths at positions (N,) in the store."""
        if self.preprocess == 'batch':
            return self.batches(rows)
        return torch.from_numpy(self.clips[rows]), torch.from_numpy(self.num_frames[rows])

    def _read_held(self, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return clips on the device and true lengths of the clips at places (N,) in the split."""
        if self.held is None:  # only now, because a subclass may narrow the positions first
            for start in range(0, len(self), PART):
                clips, frames = self._read(self.positions[start:start + PART])
                if self.held is None:
                    self.held = torch.empty(len(self), *clips.shape[1:], device=get_device())
                    self.held_frames = torch.empty(len(self), dtype=torch.int64)
                self.held[start:start + PART], self.held_frames[start:start + PART] = clips, frames
        assert self.held is not None
        index = torch.from_numpy(chosen)
        return self.held[index], self.held_frames[index]

    def __getitem__(self, index: int) -> dict:
        """Return one sample, as in a batch but without the first axis."""
        batch = self._batch([index], False)
        return dict(inputs=batch['inputs'][0], data_samples={k: v[0] for k, v in batch['data_samples'].items()})


class StoredIds(Sequence[str]):
    """The ids at some positions of a store, read when they are used: training needs none of a million clips."""

    def __init__(self, store: SkeletonStore, positions: np.ndarray):
        self.store, self.positions = store, positions

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self.store.name(int(i)) for i in self.positions[index]]
        return self.store.name(int(self.positions[index]))

    def __eq__(self, other) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


def check_scores(store: SkeletonStore, scores: bool) -> None:
    """Raise a UserError if ``data.scores`` is set for a store without scores."""
    if not isinstance(scores, bool):
        raise UserError(f'data.scores is {scores!r}; it must be True or False')
    if scores and not store.has_scores:
        raise UserError(f'data.scores is True, but {store.path} has no scores: import data with scores, or leave out '
                        'data.scores')


def packed_pipeline(pipeline: list[dict], scores: bool) -> list[dict]:
    """Return a pipeline whose last step, PackSkeleton, appends the scores to the clips if ``scores`` is True."""
    if any(_packs(step) and 'scores' in step for step in pipeline):
        raise UserError('data.pipeline: PackSkeleton.scores follows from data.scores: write it there')
    if not scores:
        return pipeline
    if not pipeline or not _packs(pipeline[-1]):
        raise UserError('data.scores needs a data.pipeline that ends with dict(type="PackSkeleton")')
    return [*pipeline[:-1], dict(pipeline[-1], scores=True)]


def _packs(step: Mapping) -> bool:
    return str(step.get('type')).removeprefix('mmskelssl.') == 'PackSkeleton'


def _part(positions: np.ndarray, held_out: int, part: str) -> np.ndarray:
    """Select the held-out clips of a split, or the rest."""
    if type(held_out) is not int or not 0 <= held_out < len(positions):
        raise UserError(f'data.held_out is {held_out!r}; it must be an integer from 0 to {len(positions) - 1}, as the '
                        f'split has {len(positions)} clips')
    chosen = np.zeros(len(positions), bool)
    chosen[np.linspace(0, len(positions) - 1, held_out).round().astype(int)] = True
    return positions[chosen if part == 'held_out' else ~chosen]


def preprocessed(store: SkeletonStore, pipeline: list[dict], cache_dir: str | None = None, jobs: int | None = None):
    """Return memory-mapped clips of the whole store (N, C, T, V, M) and their true lengths (N,).

    The first process that needs them computes them, on all cores for a large store, and others wait for it. If it is
    killed, the next process continues with the unfinished parts.
    """
    return cached(store.path, store.data_hash, cache_key(store, pipeline),
                  lambda folder, key: preprocess(store, pipeline, folder, key, jobs), cache_dir)


def cache_key(store: SkeletonStore, pipeline: list[dict]) -> str:
    """Return the name of the cached arrays of a store and a pipeline."""
    plain = json.dumps(pipeline, sort_keys=True, default=list) + _plugin_code(pipeline)
    return hashlib.sha256(f'{PREPROCESSING_VERSION} {store.data_hash} {plain}'.encode()).hexdigest()[:16]


def _plugin_code(pipeline: list[dict]) -> str:
    """Return hashes of the source files of external transforms, so that an edited transform gets a new cache."""
    hashes = []
    for step in pipeline:
        kind = TRANSFORMS.get(step['type'])
        if kind is not None and not kind.__module__.startswith('mmskelssl.'):
            try:
                hashes.append(file_hash(inspect.getfile(kind)))
            except (OSError, TypeError):  # defined at a prompt
                pass
    return ' '.join(hashes)
