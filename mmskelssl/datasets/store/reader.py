"""SkeletonStore: a folder of plain arrays and JSON. Opening it reads no frames and executes no code."""
import os
import os.path as osp
from functools import cached_property

import numpy as np

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.store.columns import index_columns, read_columns, same_columns
from mmskelssl.datasets.store.schema import read_index
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout

ARRAYS = {'keypoints.npy': 'sha256', 'scores.npy': 'scores_sha256'}  # file -> key of its hash in the index


class SkeletonStore:
    """Memory-mapped sequences of skeletons on disk.

    ``keypoints.npy`` holds the frames of all samples consecutively, (rows, V, C) float32. A sample has persons x frames
    rows from its ``offset`` on, the first person's frames first. If the source has confidences for the joints,
    ``scores.npy`` holds them in the same rows, (rows, V) float32; a score of 0 marks a missing joint. ``index.json``
    holds everything else (:mod:`~mmskelssl.datasets.store.schema`). ``index.npz`` holds the same in columns, to open a
    store of any size in milliseconds. The JSON file takes precedence: if it has been edited, or the columns do not
    match it or the array, the columns are computed from it.

    Args:
        path: Folder of the store.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._file = osp.join(self.path, 'index.json')
        if not osp.isfile(self._file):
            raise UserError(f'{self.path} is not a store (no index.json): create one with `python '
                            f'tools/prepare_data.py SOURCE PATH --out {self.path}`')
        self.rows = self._map('keypoints.npy')
        columns = read_columns(self.path, len(self.rows) if self.rows.ndim else 0)
        self._columns: dict = index_columns(self.index) if columns is None else columns
        self.head: dict = self._columns['head']
        self.layout: SkeletonLayout = get_layout(self.head['layout'])
        self.channels: int = self.head['channels']
        self.classes: list[str] = self.head['classes']
        self.offset, self.persons, self.frames = (self._columns[key] for key in ('offset', 'persons', 'frames'))
        rows = int(self.offset[-1]) + int(self.persons[-1]) * int(self.frames[-1])
        expected = (rows, self.layout.num_joints, self.channels)
        self._check('keypoints.npy', self.rows, expected)
        self.has_scores = 'scores_sha256' in self.head
        if self.has_scores:
            self._scores = self._map('scores.npy')
            self._check('scores.npy', self._scores, expected[:2])

    def _map(self, name: str) -> np.ndarray:
        file = osp.join(self.path, name)
        try:
            if not osp.isfile(file):  # a pipe would block
                raise OSError('it is missing, or not a regular file')
            return np.load(file, mmap_mode='r', allow_pickle=False)
        except Exception as error:  # NumPy's parser of headers raises errors of several kinds
            raise UserError(f'{file} cannot be read ({error}): import the data again') from error

    def _check(self, name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
        if array.shape != expected or array.dtype != np.float32:
            raise UserError(f'{osp.join(self.path, name)} is {array.dtype} of shape {array.shape}, but index.json '
                            f'describes float32 {expected}: the store is incomplete, import the data again')

    def __getstate__(self):
        return self.path  # mapped arrays are not pickled

    def __setstate__(self, path: str):
        self.__init__(path)  # type: ignore[misc]  # a subclass takes the path alone, too

    def __len__(self) -> int:
        return len(self.offset)

    @cached_property
    def index(self) -> dict:
        """The whole index.json, read and checked on first access."""
        return read_index(self._file)

    @property
    def samples(self) -> list[dict]:
        """The entry of each sample, in order. The columns are faster."""
        return self.index['samples']

    @property
    def splits(self) -> dict[str, list[str]]:
        """Sample ids of each split."""
        return self.index['splits']

    @cached_property
    def ids(self) -> list[str]:
        """Sample ids, in order."""
        return [name.decode() for name in self._columns['id'].tolist()]

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of each id. Raises a UserError for duplicates."""
        positions = {name: i for i, name in enumerate(self.ids)}
        if len(positions) < len(self.ids):
            seen: set[str] = set()
            for name in self.ids:
                if name in seen:
                    raise UserError(f'{self.path}: the id {name!r} appears twice in index.json')
                seen.add(name)
        return positions

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64; -1 for samples without a label."""
        return self._columns['label'].astype(np.int64)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(N,) int64; -1 for unknown subjects."""
        return self._columns['subject'].astype(np.int64)

    @property
    def data_hash(self) -> str:
        """Hash of the store's content: frames (through their own hash), samples, splits and layout."""
        return self.head['data_hash']

    def keypoints(self, i: int) -> np.ndarray:
        """Return a view (M, T, V, C) of a sample's frames."""
        shape = (int(self.persons[i]), int(self.frames[i]), *self.rows.shape[1:])
        start = int(self.offset[i])
        return self.rows[start:start + shape[0] * shape[1]].reshape(shape)

    def scores(self, i: int) -> np.ndarray | None:
        """Return a view (M, T, V) of the joint confidences, 0 for missing joints; None for a store without scores."""
        if not self.has_scores:
            return None
        shape = (int(self.persons[i]), int(self.frames[i]), self.rows.shape[1])
        start = int(self.offset[i])
        return self._scores[start:start + shape[0] * shape[1]].reshape(shape)

    def joint_mask(self, i: int) -> np.ndarray:
        """Return (V,) bool: the joints of a sample's source; all True except in a pool of layouts (``merge``)."""
        masks = self.index.get('joint_masks')
        if masks is None:
            return np.ones(self.layout.num_joints, bool)
        return np.array(masks[self.samples[i]['mask']], bool)

    def split(self, name: str) -> np.ndarray:
        """Return the positions (n,) of a split's samples; ``all`` gives every sample."""
        if name == 'all':
            return np.arange(len(self))
        if name in self._columns['splits']:  # checked when the columns were made
            return self._columns['splits'][name].astype(np.int64)
        if name not in self.splits:
            raise UserError(f'{self.path} has no split {name!r}; it has {", ".join(self.splits) or "none"} (and all): '
                            'choose one with data.split, or draw one with `python tools/prepare_data.py split '
                            f'{self.path} --share 0.2`')
        ids = self.splits[name]
        unknown = [sample for sample in ids if sample not in self.positions]
        if unknown or not ids:
            reason = f'names {len(unknown)} unknown samples, first {unknown[0]!r}' if unknown else 'is empty'
            raise UserError(f'{self.path}: the split {name!r} {reason}')
        raise UserError(f'{self.path}: the split {name!r} names a sample twice')

    def columns_are_sound(self) -> bool:
        """Return whether the columns match ``index.json``."""
        return same_columns(self._columns, index_columns(self.index))

    def verify_hash(self) -> None:
        """Compare all frames and the whole index with their hashes. Raises a UserError if they differ."""
        if not self.columns_are_sound():
            raise UserError(f'{self.path}/index.npz differs from index.json, which takes precedence: remove index.npz')
        for name, key in ARRAYS.items():
            if (key == 'sha256' or self.has_scores) and file_hash(osp.join(self.path, name)) != self.head.get(key):
                raise UserError(f'{self.path}/{name} has changed since it was written: import the data again')
