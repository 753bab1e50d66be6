"""Data set over a store: preprocessing once, whole-batch reads afterwards."""
import functools
import hashlib
import inspect
import json
import os
import os.path as osp
import tempfile
from collections.abc import Mapping

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from torch.utils.data import Dataset, default_collate

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.preprocessing import locked, preprocess
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.registry import DATASETS, FUNCTIONS, TRANSFORMS

# Part of the cache's key: raise it when a transform's result changes.
PREPROCESSING_VERSION = 3


# In the root too: mmengine looks a collate function up there alone, whatever the default scope.
@ROOT_FUNCTIONS.register_module(force=True)
@FUNCTIONS.register_module()
def whole_batch(batch: dict | list[dict]) -> dict:
    """Collate function for data sets whose ``__getitems__`` already returns a batch; a wrapper's list is stacked."""
    return batch if isinstance(batch, dict) else default_collate(batch)


# What a config's ``data``, or a checkpoint's ``dataset``, says besides the data set's arguments.
_ABOUT = ('split', 'train_split', 'test_split', 'prepare', 'data_hash', 'layout')


def dataset_config(data: Mapping, split: str) -> dict:
    """Config of the data set that ``data`` describes: ``type`` (default SkeletonDataset), store, pipeline and all else
    that its class takes, the same for every split.
    """
    arguments = {key: value for key, value in data.items() if key not in _ABOUT}
    return {'type': 'SkeletonDataset', **arguments, 'split': split}


@DATASETS.register_module()
class SkeletonDataset(Dataset):
    """Samples of one split, preprocessed.

    The deterministic pipeline runs over the whole store once. Its result is kept beside the store as one array under
    the hash of store and pipeline, memory-mapped and shared by all workers and ranks; a batch is one indexed read.

    Args:
        store: Folder of a :class:`SkeletonStore`.
        split: Name of a split, or ``all``.
        pipeline: Configs of transforms; the last is PackSkeleton.
        cache_dir: Where the preprocessed array is kept; default: the store's folder ``cache``.
        resident: ``device`` keeps the split's clips on the device that trains, where batches are gathered then, instead
            of reading them from the mapped array. No data workers then. Other splits and later evaluation read as ever.
    """

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self._made_from = functools.partial(cls, *args, **kwargs)  # a subclass's own arguments too
        return self

    def __init__(self, store: str, split: str, pipeline: list[dict], cache_dir: str | None = None,
                 resident: str | None = None):
        if resident not in (None, 'device'):
            raise UserError(f"data.resident is {resident!r}; it is 'device' or None")
        self.store, self.split = SkeletonStore(store), split
        self.positions = self.store.split(split)
        self.labels = self.store.labels[self.positions]
        self.ids = [self.store.ids[i] for i in self.positions]
        self.num_classes = len(self.store.classes) or int(self.store.labels.max()) + 1
        if self.labels.max() >= self.num_classes:
            worst = int(self.labels.argmax())
            raise UserError(f'{store}: sample {self.ids[worst]} has label {self.labels[worst]}, but there are '
                            f'{self.num_classes} classes')
        self.clips, self.num_frames = preprocessed(self.store, pipeline, cache_dir)
        self.resident, self.held = resident, None
        self.metainfo = dict(classes=self.store.classes, layout=self.store.layout.name,
                             data_hash=self.store.data_hash, split=split)

    def __reduce__(self):
        # By its arguments: a started (not forked) worker would get a copy of the mapped arrays otherwise.
        return self._made_from, ()

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, indices: list[int]) -> dict:
        """A batch: ``inputs`` (B, C, T, V, M) float32; ``data_samples`` with index, num_frames and, if known, label."""
        indices = np.asarray(indices)
        rows = self.positions[indices]
        if self.resident and self.held is None:  # not before: a subclass may narrow the positions first
            self.held = torch.from_numpy(self.clips[self.positions]).to(get_device())
        inputs = torch.from_numpy(self.clips[rows]) if self.held is None else self.held[torch.from_numpy(indices)]
        samples = dict(index=torch.from_numpy(rows), num_frames=torch.from_numpy(self.num_frames[rows]))
        if (self.labels >= 0).all():
            samples['label'] = torch.from_numpy(self.labels[indices])
        return dict(inputs=inputs, data_samples=samples)

    def __getitem__(self, index: int) -> dict:
        """One sample, as in a batch but without the first axis."""
        batch = self.__getitems__([index])
        return dict(inputs=batch['inputs'][0], data_samples={k: v[0] for k, v in batch['data_samples'].items()})


def preprocessed(store: SkeletonStore, pipeline: list[dict], cache_dir: str | None = None, jobs: int | None = None):
    """Clips of the whole store (N, C, T, V, M), memory-mapped, and their true lengths (N,).

    The first process that asks makes them, on all cores where the store is large; others wait for it. What it had
    finished when it was killed is not done again.
    """
    plain = json.dumps(pipeline, sort_keys=True, default=list) + _plugin_code(pipeline)
    key = hashlib.sha256(f'{PREPROCESSING_VERSION} {store.data_hash} {plain}'.encode()).hexdigest()[:16]
    folder = _writable(cache_dir or osp.join(store.path, 'cache'), key)
    clips, lengths = osp.join(folder, f'{key}.npy'), osp.join(folder, f'{key}.frames.npy')
    if not (osp.isfile(clips) and osp.isfile(lengths)):
        with locked(osp.join(folder, f'{key}.lock')):
            if not (osp.isfile(clips) and osp.isfile(lengths)):
                preprocess(store, pipeline, clips, lengths, jobs)
    return np.load(clips, mmap_mode='r', allow_pickle=False), np.load(lengths, allow_pickle=False)


def _plugin_code(pipeline: list[dict]) -> str:
    """Hashes of the files of transforms from outside this package: whoever edits one gets a new cache."""
    hashes = []
    for step in pipeline:
        kind = TRANSFORMS.get(step['type'])
        if kind is not None and not kind.__module__.startswith('mmskelssl.'):
            try:
                hashes.append(file_hash(inspect.getfile(kind)))
            except (OSError, TypeError):  # typed at a prompt
                pass
    return ' '.join(hashes)


def _writable(folder: str, key: str) -> str:
    if osp.isfile(osp.join(folder, f'{key}.npy')):
        return folder
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        return folder
    except OSError:  # a read-only store
        fallback = osp.join(tempfile.gettempdir(), f'mmskelssl-cache-{os.getuid()}')
        os.makedirs(fallback, mode=0o700, exist_ok=True)
        return fallback
