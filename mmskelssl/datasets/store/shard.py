"""A shard: a part of a store of version 3, whose files are mapped and checked when they are first used."""
import json
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mmskelssl.atomic import stream_hash
from mmskelssl.datasets.store.damage import LEAVE_OUT, Damage
from mmskelssl.datasets.store.schema import MAX_BYTES, MAX_CLASSES, check_notes, is_name, plain
from mmskelssl.datasets.store.shard_files import FOLDER, ShardFiles, file_name
from mmskelssl.datasets.store.storage import STORAGE
from mmskelssl.errors import UserError
from mmskelssl.npz import map_array

NUMBERS = ('persons', 'frames', 'label', 'subject', 'extra')  # rows of samples.npy; -1: no label or subject


class Shard:
    """The samples of one shard.

    Args:
        store: Path of the store, for messages.
        number: Number of the shard.
        entry: Its entry in ``index.json``, checked.
        files: Access to its files.
        storage: How coordinates are stored.
        shape: (V, C).
        splits: Number of splits of the store.

    Raises:
        UserError: A file is damaged, when it is first used.
    """

    def __init__(self, store: str, number: int, entry: dict, files: ShardFiles, storage: str, shape: tuple[int, int],
                 splits: int):
        self.number, self.entry, self.rows, self._files = number, entry, entry['rows'], files
        self._store, self._where = f'{store}: ', f'{store}: shard {number}'
        self._dtype, self._shape, self._splits = STORAGE[storage][0], shape, splits

    def __len__(self) -> int:
        return self.entry['samples']

    @cached_property
    def numbers(self) -> np.ndarray:
        """(rows, n) int32: :data:`NUMBERS`, then the splits of each sample, 32 in a row."""
        numbers = self._map('samples', np.dtype('<i4'))
        count = len(NUMBERS) + -(-self._splits // 32)
        if numbers.ndim != 2 or not len(NUMBERS) <= len(numbers) <= count or numbers.shape[1] != len(self):
            raise self._contradicts(f'samples.npy has shape {numbers.shape}')
        persons, frames, label, subject, extra = numbers[:len(NUMBERS)].astype(np.int64)
        if min(persons.min(), frames.min()) < 1 or (persons * frames).max() > self.rows or (
                persons * frames).sum() != self.rows:
            raise self._contradicts(f'the persons and frames of its samples do not make {self.rows} rows')
        if min(label.min(), subject.min()) < -1 or label.max() >= MAX_CLASSES:
            raise self._contradicts('a label or subject of its samples is negative or huge')
        extras = len(self.extras)
        if extra.min() < 0 or extra.max() > extras or extra.sum() != extras:
            raise self._contradicts('the sizes of its extras do not add up')
        return numbers

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """(n + 1,) int64: first row of each sample, and the end; (n,) int32: its persons. Both stay in memory."""
        rows = self.numbers[0].astype(np.int64) * self.numbers[1]
        return np.append(0, np.cumsum(rows)), self.numbers[0].copy()

    def cut(self, k: int, array: np.ndarray) -> np.ndarray:
        """Return a view (M, T, ...) of a sample's rows in an array of the shard."""
        starts, persons = self.places
        return array[starts[k]:starts[k + 1]].reshape(persons[k], -1, *array.shape[1:])

    @cached_property
    def ids(self) -> np.ndarray:
        """(n,) bytes."""
        ids = self._map('ids', np.dtype('S'))
        if ids.shape != (len(self),):
            raise self._contradicts(f'ids.npy has shape {ids.shape}')
        return ids

    def names(self) -> list[str]:
        """Return the ids of all samples."""
        try:
            names = [name.decode() for name in self.ids.tolist()]
        except UnicodeDecodeError:
            names = ['']
        if not all(map(is_name, names)):
            raise self._contradicts('an id is not a valid name')
        return names

    def name(self, k: int) -> str:
        """Return the id of one sample."""
        try:
            name = self.ids[k].decode()
        except UnicodeDecodeError:
            name = ''
        if not is_name(name):
            raise self._contradicts(f'the id of its sample {k} is not a valid name')
        return name

    def members(self, place: int) -> np.ndarray:
        """Return (n,) bool: the samples of the store's split number ``place``."""
        row = len(NUMBERS) + place // 32
        if row >= len(self.numbers):  # the split is younger than the shard
            return np.zeros(len(self), bool)
        return (self.numbers[row].view(np.uint32) >> np.uint32(place % 32) & np.uint32(1)).astype(bool)

    def sample(self, k: int) -> dict:
        """Return the entry of a sample, as in the ``index.json`` of other versions, without its offset."""
        persons, frames, label, subject, size = self.numbers[:len(NUMBERS), k].tolist()
        sample = dict(id=self.name(k), persons=persons, frames=frames, label=None if label < 0 else label,
                      subject=None if subject < 0 else subject)
        if size:
            end = int(self._ends[k])
            try:
                sample.update({key: value for key, value in json.loads(self.extras[end - size:end].tobytes()).items()
                               if key not in sample})
            except (AttributeError, RecursionError, ValueError):
                raise self._contradicts(f'the extras of sample {sample["id"]} are not JSON') from None
        return sample

    @cached_property
    def extras(self) -> np.ndarray:
        """(bytes,) uint8: the JSON of the samples, one after the other."""
        if 'extras' not in self.entry['files']:
            return np.zeros(0, np.uint8)
        extras = self._map('extras', np.dtype(np.uint8))
        if extras.ndim != 1:
            raise self._contradicts(f'extras.npy has shape {extras.shape}')
        return extras

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.numbers[NUMBERS.index('extra')], dtype=np.int64)

    @cached_property
    def frames(self) -> np.ndarray:
        """(rows, V, C) as stored."""
        return self._frames('keypoints', self._dtype, (self.rows, *self._shape))

    @cached_property
    def scores(self) -> np.ndarray:
        """(rows, V) float32."""
        return self._frames('scores', np.dtype('<f4'), (self.rows, self._shape[0]))

    def _frames(self, what: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        array = self._map(what, dtype)
        if array.shape != shape:
            raise self._contradicts(f'{what}.npy has shape {array.shape}, expected {shape}')
        return array

    def release(self) -> None:
        """Forget the mapped files. They are mapped, and fetched if necessary, when they are used again."""
        for what in ('frames', 'scores', 'numbers', 'ids', 'extras'):
            self.__dict__.pop(what, None)

    def notes(self) -> dict:
        """Return what was skipped, repaired and noted when the shard was written."""
        if 'notes' not in self.entry['files']:
            return {}
        try:
            with self._open('notes') as file:
                notes = json.loads(file.read(MAX_BYTES))
            check_notes(notes)
            return notes
        except UserError:
            raise
        except (RecursionError, ValueError) as error:
            raise self._contradicts(f'its notes are damaged ({plain(str(error), 100)})') from None

    def present(self) -> None:
        """Raise a UserError if a file is missing or has another size."""
        for what, (size, _) in self.entry['files'].items():
            if wrong := self._files.missing(self.number, what, self.entry['revision'], size):
                raise UserError(f'{self._where}: {what} {wrong}: {LEAVE_OUT}')

    def damage(self, samples: range) -> Iterator[Damage]:
        """Compare all files with their hashes, and the numbers of the samples with each other."""
        try:
            self.present()
            self.numbers, self.frames, 'scores' in self.entry['files'] and self.scores  # noqa: B018  checks them
            self.names()
            self.notes()
            changed = [what for what, (_, digest) in self.entry['files'].items() if self._digest(what) != digest]
        except UserError as error:
            text = str(error).removeprefix(self._store)
            yield Damage(text.removesuffix(f': {LEAVE_OUT}'), f'{FOLDER}: {text}', samples, LEAVE_OUT, self.number)
            return
        for what in changed:
            called = 'frames' if what == 'keypoints' else what
            file = file_name(self.number, what, self.entry['revision'])
            yield Damage(f'shard {self.number}: the {called} have changed since they were written (another sha256)',
                         f'{FOLDER}/{file} has changed since it was written: {LEAVE_OUT}', samples, LEAVE_OUT,
                         self.number)

    def _digest(self, what: str) -> str:
        with self._open(what) as file:
            return stream_hash(file)

    def _open(self, what: str):
        try:
            return self._files.open(self.number, what, self.entry['revision'], *self.entry['files'][what])
        except FileNotFoundError:
            raise UserError(f'{self._where}: {what} is missing. If the store was changed while it was in use, start '
                            f'again; otherwise {LEAVE_OUT}') from None
        except OSError as error:
            raise UserError(f'{self._where}: {what} cannot be read ({error.strerror or error}): {LEAVE_OUT}') from error

    def _map(self, what: str, dtype: np.dtype) -> np.ndarray:
        with self._open(what) as file:
            try:
                return np.asarray(map_array(file, dtype))
            except Exception as error:  # NumPy's parser of headers raises errors of several kinds
                raise self._contradicts(f'{what}.npy is not as described ({plain(str(error), 100)})') from error

    def _contradicts(self, text: str) -> UserError:
        return UserError(f'{self._where} contradicts index.json: {text}: {LEAVE_OUT}')
