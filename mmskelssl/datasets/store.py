"""SkeletonStore: a folder of plain arrays and JSON. Opening it reads no frame, and nothing in it can run."""
import hashlib
import json
import operator
import os
import os.path as osp
import shutil
import tempfile
from functools import cached_property

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout

VERSION = 1


class SkeletonStore:
    """Sequences of skeletons on disk, memory-mapped.

    ``keypoints.npy`` holds the frames of all samples one after another, (rows, V, C) float32; a sample has
    persons x frames rows from its ``offset`` on, the first person's frames first. ``index.json`` says the rest.

    Args:
        path: Folder of the store.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        index = osp.join(self.path, 'index.json')
        if not osp.isfile(index):
            raise UserError(f'{self.path} is no store (no index.json): make one with `python tools/prepare_data.py '
                            f'SOURCE PATH --out {self.path}`')
        try:
            with open(index, encoding='utf-8') as file:
                self.index = json.load(file)
            self.samples: list[dict] = self.index['samples']
            self.splits: dict[str, list[str]] = self.index['splits']
            self.layout: SkeletonLayout = get_layout(self.index['layout'])
            self.channels: int = self.index['channels']
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise UserError(f'{index} is damaged ({type(error).__name__}: {error}): import the data again') from error
        self.classes: list[str] = self.index.get('classes') or []
        file = osp.join(self.path, 'keypoints.npy')
        try:
            self.rows = np.load(file, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f'{file} cannot be read ({error}): import the data again') from error
        expected = (self._described_rows(index), self.layout.num_joints, self.channels)
        if self.rows.shape != expected or self.rows.dtype != np.float32:
            raise UserError(f'{file} is {self.rows.dtype} of shape {self.rows.shape}, but index.json describes float32 '
                            f'{expected}: the store is incomplete, import the data again')

    def _described_rows(self, index: str) -> int:
        rows = 0
        for i, sample in enumerate(self.samples):
            try:
                fits = sample['id'] and sample['offset'] == rows and sample['persons'] > 0 and sample['frames'] > 0
                rows += sample['persons'] * sample['frames']
            except (KeyError, TypeError) as error:
                raise UserError(f'{index}: sample {i} is damaged ({type(error).__name__}: {error}): import the data '
                                'again') from error
            if not fits:
                raise UserError(f'{index}: sample {sample["id"]}: offset {sample["offset"]}, persons '
                                f'{sample["persons"]}, frames {sample["frames"]} do not follow the sample before: '
                                'import the data again')
        return rows

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def ids(self) -> list[str]:
        """Sample ids, in order."""
        return [sample['id'] for sample in self.samples]

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
        return np.array([-1 if sample.get('label') is None else sample['label'] for sample in self.samples], np.int64)

    @cached_property
    def data_hash(self) -> str:
        """Hash of everything that the store holds: frames (by their own hash), samples, splits and layout."""
        keys = ('sha256', 'samples', 'splits', 'layout', 'channels')
        text = json.dumps([self.index.get(key) for key in keys], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def keypoints(self, i: int) -> np.ndarray:
        """(M, T, V, C) view of a sample's frames."""
        sample = self.samples[i]
        shape = (sample['persons'], sample['frames'], *self.rows.shape[1:])
        return self.rows[sample['offset']:sample['offset'] + shape[0] * shape[1]].reshape(shape)

    def split(self, name: str) -> np.ndarray:
        """(n,) positions of a split's samples; ``all`` is every sample."""
        if name == 'all':
            return np.arange(len(self))
        if name not in self.splits:
            raise UserError(f'{self.path} has no split {name!r}; it has {", ".join(self.splits) or "none"} (and all)')
        ids = self.splits[name]
        unknown = [sample for sample in ids if sample not in self.positions]
        if unknown or not ids:
            reason = f'names {len(unknown)} samples that are not there, first {unknown[0]!r}' if unknown else 'is empty'
            raise UserError(f'{self.path}: the split {name!r} {reason}')
        if len(set(ids)) < len(ids):
            raise UserError(f'{self.path}: the split {name!r} names a sample twice')
        return np.array([self.positions[sample] for sample in ids], np.int64)

    def verify_hash(self) -> None:
        """Read all frames and compare with the hash that was written; an error if they differ."""
        if file_hash(osp.join(self.path, 'keypoints.npy')) != self.index['sha256']:
            raise UserError(f'{self.path}/keypoints.npy has changed since it was written: import the data again')


def file_hash(path: str) -> str:
    """sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class StoreWriter:
    """Writes a store, as a context manager; only a finished one appears under its name.

    Frames go to disk as they come, so that memory does not grow with the data set.

    Args:
        path: Folder to make.
        layout: Name, dict or :class:`SkeletonLayout`.
        channels: Coordinates of a joint.
        units: Of the coordinates, such as ``m``.
        classes: Class names.
        source, options: Provenance: what was imported, and how.
        overwrite: Replace a store that is there; a folder that is no store is never touched.
    """

    def __init__(self, path: str | os.PathLike, layout: str | dict | SkeletonLayout, channels: int = 3,
                 units: str = 'm', classes: list[str] | None = None, source: str = '', options: dict | None = None,
                 overwrite: bool = False):
        self.path, self.overwrite = os.fspath(path), overwrite
        self._check_place()
        self.layout, self.channels = get_layout(layout), channels
        self.samples, self.splits, self.skipped, self.rows = [], {}, [], 0
        self._ids: set[str] = set()
        known = isinstance(layout, str)
        self.index = dict(version=VERSION, layout=layout if known else dict(vars(self.layout)), channels=channels,
                          units=units, classes=list(classes or []),
                          provenance=dict(source=source, options=options or {}, skipped=self.skipped))

    def __enter__(self) -> 'StoreWriter':
        parent = osp.dirname(osp.abspath(self.path))
        try:
            os.makedirs(parent, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix=f'.{osp.basename(self.path)}-', dir=parent)
        except OSError as error:
            raise UserError(f'cannot write to {parent}: {error}') from error
        self._raw = open(osp.join(self._folder, 'frames.raw'), 'wb')
        return self

    def add(self, name: str, keypoints: np.ndarray, label: int | None = None, subject: int | None = None,
            **extra) -> None:
        """Append a sample: keypoints (M, T, V, C), an integer label and subject, and anything plain besides."""
        keypoints = np.asarray(keypoints)
        wanted = (self.layout.num_joints, self.channels)
        if keypoints.ndim != 4 or keypoints.shape[2:] != wanted:
            raise UserError(f'sample {name}: keypoints have shape {keypoints.shape}; layout {self.layout.name!r} needs '
                            f'(M, T, {wanted[0]}, {wanted[1]}): choose the layout of the data')
        if 0 in keypoints.shape[:2]:
            raise UserError(f'sample {name}: empty sequence, shape {keypoints.shape}')
        with np.errstate(over='ignore'):  # what overflows is refused below
            frames = np.ascontiguousarray(keypoints, np.float32)
        if not np.isfinite(frames).all():
            raise UserError(f'sample {name}: keypoints hold NaN or Inf')
        if name in self._ids:
            raise UserError(f'sample {name}: the id stands twice')
        try:
            sample = dict(
                id=name, offset=self.rows, persons=frames.shape[0], frames=frames.shape[1],
                label=None if label is None else operator.index(label),
                subject=None if subject is None else operator.index(subject), **extra)
            json.dumps(sample)
        except (TypeError, ValueError) as error:
            raise UserError(f'sample {name}: label and subject must be integers, and the rest plain: {error}') from None
        if label is not None and label < 0:
            raise UserError(f'sample {name}: label {label} is negative; leave it out where there is none')
        self._ids.add(name)
        self._raw.write(frames.data)
        self.samples.append(sample)
        self.rows += frames.shape[0] * frames.shape[1]

    def skip(self, name: str, reason: str) -> None:
        """Note a sample that could not be imported."""
        self.skipped.append(dict(id=name, reason=reason))

    def set_split(self, name: str, ids: list[str]) -> None:
        """Define a split by sample ids."""
        self.splits[name] = list(ids)

    def __exit__(self, error_type, error, traceback) -> None:
        try:
            self._raw.close()
            if error_type is None:
                self._write()
                self._put_in_place()
        except OSError as failure:
            raise UserError(f'cannot write {self.path}: {failure}') from failure
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _check_place(self) -> None:
        if osp.lexists(self.path) and not self.overwrite:
            raise UserError(f'{self.path} exists: choose another place, or add --overwrite')
        if osp.lexists(self.path) and not osp.isfile(osp.join(self.path, 'index.json')):
            raise UserError(f'{self.path} exists and is no store, so it is not overwritten: choose another place')

    def _write(self) -> None:
        if not self.samples:
            first = f' (first: {self.skipped[0]["id"]}: {self.skipped[0]["reason"]})' if self.skipped else ''
            raise UserError(f'{self.path}: no sample could be imported, so no store was written{first}')
        file = osp.join(self._folder, 'keypoints.npy')
        shape = (self.rows, self.layout.num_joints, self.channels)
        raw = osp.join(self._folder, 'frames.raw')
        with open(file, 'wb') as out, open(raw, 'rb') as frames:
            header = dict(descr=np.lib.format.dtype_to_descr(np.dtype('<f4')), fortran_order=False, shape=shape)
            np.lib.format.write_array_header_2_0(out, header)
            shutil.copyfileobj(frames, out, 1 << 20)
            _sync(out)
        os.remove(raw)
        with open(osp.join(self._folder, 'index.json'), 'w', encoding='utf-8') as out:
            json.dump(dict(self.index, sha256=file_hash(file), splits=self.splits, samples=self.samples), out)
            _sync(out)
        os.chmod(self._folder, 0o755)

    def _put_in_place(self) -> None:
        self._check_place()  # again: another process may have been faster
        if not osp.lexists(self.path):
            os.rename(self._folder, self.path)
            return
        old = tempfile.mkdtemp(prefix='.old-', dir=osp.dirname(self._folder))
        os.rename(self.path, osp.join(old, 'store'))
        try:
            os.rename(self._folder, self.path)
        except OSError:
            os.rename(osp.join(old, 'store'), self.path)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())
