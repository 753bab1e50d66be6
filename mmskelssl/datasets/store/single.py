"""Stores of versions 1 and 2: one array, ``index.json`` and its columns in ``index.npz``."""
import os.path as osp
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.store.columns import index_columns, read_columns, same_columns
from mmskelssl.datasets.store.damage import AGAIN, Damage
from mmskelssl.datasets.store.schema import SHARDS, read_index
from mmskelssl.datasets.store.shard_files import FOLDER
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

ARRAYS = {'keypoints.npy': 'sha256', 'scores.npy': 'scores_sha256'}  # file -> key of its hash in the index


class SingleArray:
    """What :class:`~mmskelssl.datasets.store.reader.SkeletonStore` reads from a folder with ``keypoints.npy``.

    A sample has persons x frames rows from its ``offset`` on, the first person's frames first.
    """
    storage = 'float32'

    def __init__(self, path: str):
        self.path = path
        self.rows = self._map('keypoints.npy')
        columns = read_columns(path, len(self.rows) if self.rows.ndim else 0)
        self.columns: dict = index_columns(self.index) if columns is None else columns
        self.head: dict = self.columns['head']
        rows = int(self.columns['offset'][-1]) + int(self.persons[-1]) * int(self.frames[-1])
        expected = (rows, get_layout(self.head['layout']).num_joints, self.head['channels'])
        self._check('keypoints.npy', self.rows, expected)
        self.has_scores = 'scores_sha256' in self.head
        if self.has_scores:
            self._scores = self._map('scores.npy')
            self._check('scores.npy', self._scores, expected[:2])

    def __len__(self) -> int:
        return len(self.columns['offset'])

    def parts(self) -> list[range]:
        """Return the positions of all samples, as one shard."""
        return [range(len(self))]

    @cached_property
    def index(self) -> dict:
        """The whole index.json, read and checked on first access."""
        index = read_index(osp.join(self.path, 'index.json'))
        if index.get('version', 1) >= SHARDS:
            raise UserError(f'{self.path}/index.json describes shards, but there is no folder {FOLDER}: {AGAIN}')
        return index

    @property
    def samples(self) -> list[dict]:
        return self.index['samples']

    @property
    def splits(self) -> dict[str, list[str]]:
        return self.index['splits']

    @property
    def joint_masks(self) -> dict | None:
        """Joints of each source, in a pool of different layouts."""
        return self.index.get('joint_masks')

    @property
    def persons(self) -> np.ndarray:
        return self.columns['persons']

    @property
    def frames(self) -> np.ndarray:
        return self.columns['frames']

    @property
    def labels(self) -> np.ndarray:
        return self.columns['label']

    @property
    def subjects(self) -> np.ndarray:
        return self.columns['subject']

    @cached_property
    def ids(self) -> list[str]:
        return [name.decode() for name in self.columns['id'].tolist()]

    def name(self, i: int) -> str:
        """Return the id of a sample."""
        return self.columns['id'][i].decode()

    def members(self, split: str) -> np.ndarray | None:
        """Return the positions of a valid split, or None."""
        return self.columns['splits'].get(split)  # checked when the columns were made

    def keypoints(self, i: int) -> np.ndarray:
        """Return a view (M, T, V, C) of a sample's frames."""
        return self._sample(self.rows, i)

    def scores(self, i: int) -> np.ndarray:
        """Return a view (M, T, V) of the scores of its joints."""
        return self._sample(self._scores, i)

    def damage(self, samples: Sequence[int] | None = None) -> Iterator[Damage]:
        """Compare all frames and the whole index with their hashes, whichever samples are asked for."""
        for what, name in (('frames', 'keypoints.npy'), ('scores', 'scores.npy')):
            if (name == 'keypoints.npy' or self.has_scores) and file_hash(
                    osp.join(self.path, name)) != self.head.get(ARRAYS[name]):
                yield Damage(f'the {what} have changed since they were written (another sha256)',
                             f'{name} has changed since it was written: {AGAIN}')
        if not self.columns_are_sound():
            text = 'index.npz differs from index.json, which takes precedence: remove index.npz'
            yield Damage(text, text, cure='remove index.npz; it is computed again')

    def columns_are_sound(self) -> bool:
        """Return whether the columns match ``index.json``."""
        return same_columns(self.columns, index_columns(self.index))

    def _sample(self, array: np.ndarray, i: int) -> np.ndarray:
        shape = (int(self.persons[i]), int(self.frames[i]), *array.shape[1:])
        start = int(self.columns['offset'][i])
        return array[start:start + shape[0] * shape[1]].reshape(shape)

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
