"""SkeletonStore: a folder of plain arrays and JSON. Opening it reads no frame, and nothing in it can run."""
import hashlib
import json
import os
import os.path as osp
import zlib
from functools import cached_property

import numpy as np

from mmskelssl.atomic import file_hash
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout

VERSION = 2
# Per-sample integers that are wanted before anything else; -1 where there is none.
COLUMNS = ('offset', 'persons', 'frames', 'label', 'subject')


class SkeletonStore:
    """Sequences of skeletons on disk, memory-mapped.

    ``keypoints.npy`` holds the frames of all samples one after another, (rows, V, C) float32; a sample has
    persons x frames rows from its ``offset`` on, the first person's frames first. ``index.json`` says the rest, and
    ``index.npz`` holds the same in columns, for opening in milliseconds whatever the size. The JSON file is the
    truth: where it has been edited, or there is no ``index.npz``, the columns are made from it.

    Args:
        path: Folder of the store.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._file = osp.join(self.path, 'index.json')
        if not osp.isfile(self._file):
            raise UserError(f'{self.path} is no store (no index.json): make one with `python tools/prepare_data.py '
                            f'SOURCE PATH --out {self.path}`')
        self._columns = _read_columns(self.path) or index_columns(self.index, self._file)
        try:
            self.layout: SkeletonLayout = get_layout(self.head['layout'])
            self.channels: int = self.head['channels']
        except (KeyError, TypeError) as error:
            raise damaged(self._file, error) from error
        self.classes: list[str] = self.head.get('classes') or []
        file = osp.join(self.path, 'keypoints.npy')
        try:
            self.rows = np.load(file, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f'{file} cannot be read ({error}): import the data again') from error
        self.offset, self.persons, self.frames = (self._columns[key] for key in ('offset', 'persons', 'frames'))
        expected = (int(self.persons.astype(np.int64) @ self.frames), self.layout.num_joints, self.channels)
        if self.rows.shape != expected or self.rows.dtype != np.float32:
            raise UserError(f'{file} is {self.rows.dtype} of shape {self.rows.shape}, but index.json describes float32 '
                            f'{expected}: the store is incomplete, import the data again')

    def __len__(self) -> int:
        return len(self.offset)

    @cached_property
    def head(self) -> dict:
        """What the index says of the store as a whole: layout, channels, units, classes, hashes."""
        return json.loads(self._columns['head'].item())

    @cached_property
    def index(self) -> dict:
        """The whole of index.json, read when it is asked for."""
        try:
            with open(self._file, encoding='utf-8') as file:
                index = json.load(file)
            index['samples'], index['splits']
            return index
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise damaged(self._file, error) from error

    @property
    def samples(self) -> list[dict]:
        """What is known of each sample, in order; the columns are quicker."""
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
        """Position of each id; refuses duplicates."""
        positions = {name: i for i, name in enumerate(self.ids)}
        if len(positions) < len(self.ids):
            seen = set()
            twice = next(name for name in self.ids if name in seen or seen.add(name))
            raise UserError(f'{self.path}: the id {twice!r} stands twice in index.json')
        return positions

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64, -1 where a sample has no label."""
        return self._columns['label'].astype(np.int64)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(N,) int64, -1 where the subject is not known."""
        return self._columns['subject'].astype(np.int64)

    @property
    def data_hash(self) -> str:
        """Hash of everything that the store holds: frames (by their own hash), samples, splits and layout."""
        return self.head['data_hash']

    def keypoints(self, i: int) -> np.ndarray:
        """(M, T, V, C) view of a sample's frames."""
        shape = (int(self.persons[i]), int(self.frames[i]), *self.rows.shape[1:])
        start = int(self.offset[i])
        return self.rows[start:start + shape[0] * shape[1]].reshape(shape)

    def joint_mask(self, i: int) -> np.ndarray:
        """(V,) bool: the joints that a sample's source has; all, except in a pool of different layouts (``merge``)."""
        masks, name = self.index.get('joint_masks'), self.samples[i].get('mask')
        if masks is None:
            return np.ones(self.layout.num_joints, bool)
        try:
            mask = np.array(masks[name])
            if mask.shape != (self.layout.num_joints,) or not set(mask.tolist()) <= {0, 1}:
                raise ValueError(f'mask {name!r} is not a list of {self.layout.num_joints} numbers 0 and 1')
            return mask.astype(bool)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._file, error) from error

    def split(self, name: str) -> np.ndarray:
        """(n,) positions of a split's samples; ``all`` is every sample."""
        if name == 'all':
            return np.arange(len(self))
        if name in self.head['splits']:  # checked when the columns were written
            return self._columns[f'split:{name}'].astype(np.int64)
        if name not in self.splits:
            raise UserError(f'{self.path} has no split {name!r}; it has {", ".join(self.splits) or "none"} (and all): '
                            'name one with data.split, or draw one with `python tools/prepare_data.py split '
                            f'{self.path} --share 0.2`')
        ids = self.splits[name]
        unknown = [sample for sample in ids if sample not in self.positions]
        if unknown or not ids:
            reason = f'names {len(unknown)} samples that are not there, first {unknown[0]!r}' if unknown else 'is empty'
            raise UserError(f'{self.path}: the split {name!r} {reason}')
        raise UserError(f'{self.path}: the split {name!r} names a sample twice')

    def verify_hash(self) -> None:
        """Read all frames and compare with the hash that was written; an error if they differ."""
        if file_hash(osp.join(self.path, 'keypoints.npy')) != self.head.get('sha256'):
            raise UserError(f'{self.path}/keypoints.npy has changed since it was written: import the data again')


def damaged(file: str, error: Exception) -> UserError:
    """The error for an index that cannot be understood."""
    return UserError(f'{file} is damaged ({type(error).__name__}: {error}): import the data again')


def index_columns(index: dict, file: str) -> dict[str, np.ndarray]:
    """The columns of ``index.npz`` for the content of ``index.json``, which is checked on the way.

    ``head`` (JSON text without samples, splits and provenance), ``id``, :data:`COLUMNS`, and ``split:NAME``, the
    positions of each sound split.
    """
    samples, rows = index['samples'], 0
    for i, sample in enumerate(samples):
        try:
            fits = sample['id'] and sample['offset'] == rows and sample['persons'] > 0 and sample['frames'] > 0
            rows += sample['persons'] * sample['frames']
        except (KeyError, TypeError) as error:
            raise UserError(f'{file}: sample {i} is damaged ({type(error).__name__}: {error}): import the data '
                            'again') from error
        if not fits:
            raise UserError(f'{file}: sample {sample["id"]}: offset {sample["offset"]}, persons {sample["persons"]}, '
                            f'frames {sample["frames"]} do not follow the sample before: import the data again')
    try:
        columns = {key: np.array([-1 if sample.get(key) is None else sample[key] for sample in samples],
                                 np.int64 if key == 'offset' else np.int32) for key in COLUMNS}
        columns['id'] = np.array([sample['id'].encode() for sample in samples], 'S')
        positions = {sample['id']: i for i, sample in enumerate(samples)}
        for name, ids in index['splits'].items():
            found = [positions.get(sample, -1) for sample in ids]
            if found and min(found) >= 0 and len(set(found)) == len(found) and len(positions) == len(samples):
                columns[f'split:{name}'] = np.array(found, np.int32)
        head = {key: value for key, value in index.items() if key not in ('samples', 'splits', 'provenance')}
        head['splits'] = [name.removeprefix('split:') for name in columns if name.startswith('split:')]
        text = json.dumps([index.get(key) for key in ('sha256', 'samples', 'splits', 'layout', 'channels')],
                          sort_keys=True)
        head['data_hash'] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return dict(columns, head=np.array(json.dumps(head)))
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise damaged(file, error) from error


def write_columns(folder: str, index: dict) -> None:
    """Write ``index.npz`` beside the ``index.json`` that it belongs to."""
    file = osp.join(folder, 'index.json')
    np.savez(osp.join(folder, 'index.npz'), belongs_to=_fingerprint(file), **index_columns(index, file))


def _read_columns(folder: str):
    """Columns of index.npz; None where there is none, it is damaged, or it belongs to another index.json."""
    try:
        with np.load(osp.join(folder, 'index.npz'), allow_pickle=False) as columns:
            sound = {*COLUMNS, 'head', 'id'} <= set(columns)
            if sound and _belongs(columns['belongs_to'].tolist(), osp.join(folder, 'index.json')):
                return dict(columns)
    except Exception:  # noqa: BLE001, S110  a damaged zip can raise anything; the JSON file has it all
        pass
    return None


def _fingerprint(file: str) -> list[int]:
    """Size, time and CRC of a file: they only have to tell an edited index from the one the columns were made of."""
    about = os.stat(file)
    return [about.st_size, about.st_ctime_ns, _checksum(file)]


def _belongs(fingerprint: list[int], file: str) -> bool:
    """Whether a file is the one of this fingerprint. One that was copied has another time, and is read."""
    size, time, checksum = fingerprint
    about = os.stat(file)
    return about.st_size == size and (about.st_ctime_ns == time or _checksum(file) == checksum)


def _checksum(file: str) -> int:
    checksum = 0
    with open(file, 'rb') as stream:
        while block := stream.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum
