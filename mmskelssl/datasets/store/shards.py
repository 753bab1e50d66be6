"""Stores of version 3: a small ``index.json``, and shards of samples in the folder ``shards``.

``00000.keypoints.npy`` has the frames of the samples of shard 0, (rows, V, C), in the store's storage. A sample has
persons x frames rows, the first person's frames first, and never continues in another shard. The other files of a shard
are ``scores.npy``, (rows, V) float32, if the store has scores; ``ids.npy``, (n,) UTF-8; ``samples-R.npy``, the numbers
of each sample and its splits; ``extras-R.npy``, the JSON of its other entries; and ``notes.json`` about the import. R
counts the changes: frames never change, but labels and splits do. Names of files follow from the numbers of shards and
changes, never from ``index.json``.
"""
import hashlib
import json
import resource
from bisect import bisect_right
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from mmskelssl.datasets.store.damage import AGAIN, Damage
from mmskelssl.datasets.store.schema import NOTES
from mmskelssl.datasets.store.shard import NUMBERS, Shard
from mmskelssl.datasets.store.shard_files import ShardFiles
from mmskelssl.datasets.store.storage import decode
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

# Shards whose files stay mapped, up to five each. A mapped file counts as an open one, of which a process may often
# have 1,024 only.
MOST_MAPPED = max(16, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 14) // 6)
_HEAD = ('version', 'layout', 'channels', 'units', 'classes', 'third', 'fps', 'storage')


class Samples(Sequence):
    """The entries of samples, each read when it is used. It is also a list of dicts in other respects."""

    def __init__(self, size: int, read: Callable[[int], dict]):
        self._size, self._read = size, read

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, i):
        chosen = range(self._size)[i]
        return self._read(chosen) if isinstance(chosen, int) else [self._read(k) for k in chosen]

    def __eq__(self, other) -> bool:
        return list(self) == list(other)


class Splits(Mapping):
    """Name -> ids of its samples, which are read when they are used."""

    def __init__(self, names: list[str], read: Callable[[str], list[str]]):
        self._names, self._read = names, read

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> list[str]:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)


class Shards:
    """What :class:`~mmskelssl.datasets.store.reader.SkeletonStore` reads from shards.

    Opening looks at the size of each file, and reads none of them.

    Args:
        path: Folder or address of the store, for messages.
        index: Content of ``index.json``, checked.
        files: Access to the files of the shards.
        complete: Raise a UserError if a file is missing or has another size.
        without: Numbers of shards to leave out.
    """

    def __init__(self, path: str, index: dict, files: ShardFiles, complete: bool = True,
                 without: Container[int] = ()):
        self.path, self.raw, self.storage = path, index, index['storage']
        self.has_scores = bool(index.get('scores'))
        shape = (get_layout(index['layout']).num_joints, index['channels'])
        self.shards = [Shard(path, number, entry, files, self.storage, shape, len(index['splits']))
                       for number, entry in enumerate(index['shards']) if number not in without]
        if not self.shards:
            raise UserError(f'{path}: no shard of it can be read: {AGAIN}')
        self._mapped: dict[int, Shard] = {}  # the last that were used
        self.ends = np.cumsum([len(shard) for shard in self.shards]).tolist()
        for shard in self.shards if complete else ():
            shard.present()
        self.head: dict = {key: index[key] for key in _HEAD if key in index}
        self.head['data_hash'] = _data_hash(index)

    def __len__(self) -> int:
        return self.ends[-1]

    @cached_property
    def samples(self) -> Sequence[dict]:
        """Entry of each sample."""
        return Samples(len(self), self._sample)

    @cached_property
    def splits(self) -> Mapping[str, list[str]]:
        """Sample ids of each split."""
        return Splits(self.raw['splits'], self._ids)

    @property
    def joint_masks(self) -> dict | None:
        """Joints of each source, in a pool of different layouts."""
        return self.raw.get('joint_masks')

    @cached_property
    def index(self) -> dict:
        """The content of ``index.json`` with ``samples``, ``splits`` and notes as in other versions."""
        notes = [shard.notes() for shard in self.shards]
        lists = {key: [entry for part in notes for entry in part.get(key, [])] for key in NOTES}
        return dict(self.raw, samples=self.samples, splits=self.splits,
                    provenance=dict(self.raw['provenance'], **lists))

    @cached_property
    def persons(self) -> np.ndarray:
        return self._numbers('persons')

    @cached_property
    def frames(self) -> np.ndarray:
        return self._numbers('frames')

    @property
    def labels(self) -> np.ndarray:
        return self._numbers('label')

    @property
    def subjects(self) -> np.ndarray:
        return self._numbers('subject')

    @cached_property
    def ids(self) -> list[str]:
        return [name for shard in self._each() for name in shard.names()]

    def release(self, digests: Container[str]) -> None:
        """Forget the frames of shards whose files have one of these hashes."""
        for shard in self.shards:
            if any(digest in digests for _, digest in shard.entry['files'].values()):
                shard.release()

    def name(self, i: int) -> str:
        """Return the id of a sample."""
        shard, k = self._find(i)
        return shard.name(k)

    def members(self, split: str) -> np.ndarray | None:
        """Return the positions of a split, in the order of the store; None if it has no samples."""
        if split not in self.raw['splits']:
            return None
        place = self.raw['splits'].index(split)
        chosen = np.concatenate([np.flatnonzero(shard.members(place)).astype(np.int32) + np.int32(end - len(shard))
                                 for shard, end in zip(self._each(), self.ends, strict=True)])
        return chosen if len(chosen) else None

    def keypoints(self, i: int) -> np.ndarray:
        """Return (M, T, V, C) float32: a view of the file for storage float32, otherwise a new array."""
        shard, k = self._find(i)
        return decode(shard.cut(k, shard.frames), self.storage)

    def scores(self, i: int) -> np.ndarray:
        """Return a view (M, T, V) of the scores of its joints."""
        shard, k = self._find(i)
        return shard.cut(k, shard.scores)

    def parts(self) -> list[range]:
        """Return the positions of the samples of each shard."""
        return [range(end - len(shard), end) for shard, end in zip(self.shards, self.ends, strict=True)]

    def damage(self, samples: Sequence[int] | None = None) -> Iterator[Damage]:
        """Compare the files of all shards, or of those of ``samples``, with their hashes, one after the other."""
        from rich.progress import track  # imported here: help texts do not need it
        chosen = None if samples is None else set(np.searchsorted(self.ends, samples, 'right').tolist())
        parts = enumerate(zip(self._each(), self.parts(), strict=True))
        for i, (shard, part) in track(parts, 'comparing hashes', total=len(self.shards), disable=len(self.shards) < 8):
            if chosen is None or i in chosen:
                yield from shard.damage(part)

    def thaw(self) -> None:
        """Read all samples and splits, so that they can be changed (:func:`~mmskelssl.datasets.store.edit.edited`)."""
        self.samples, self.splits = list(self.samples), dict(self.splits)

    def columns_are_sound(self) -> bool:
        """There is no second copy of the index that could differ."""
        return True

    def _find(self, i: int) -> tuple[Shard, int]:
        i = range(len(self))[i]
        place = bisect_right(self.ends, i)
        return self._used(self.shards[place]), i - (self.ends[place - 1] if place else 0)

    def _each(self) -> Iterator[Shard]:
        """Yield each shard, and leave no more files mapped than before."""
        for shard in self.shards:
            yield shard
            if shard.number not in self._mapped:
                shard.release()

    def _used(self, shard: Shard) -> Shard:
        """Return a shard, after releasing the files of the one that was not used for the longest time."""
        if self._mapped.pop(shard.number, None) is None and len(self._mapped) >= MOST_MAPPED:
            self._mapped.pop(next(iter(self._mapped))).release()
        self._mapped[shard.number] = shard
        return shard

    def _sample(self, i: int) -> dict:
        shard, k = self._find(i)
        return shard.sample(k)

    def _numbers(self, what: str) -> np.ndarray:
        row = NUMBERS.index(what)
        return np.concatenate([shard.numbers[row] for shard in self._each()])

    def _ids(self, split: str) -> list[str]:
        chosen = self.members(split)
        return [] if chosen is None else [self.ids[i] for i in chosen.tolist()]


def _data_hash(index: dict) -> str:
    """Return the hash of the content: frames, samples, splits and layout, through the hashes of their files."""
    files = [[shard['files'].get(what, ['', ''])[1] for what in ('keypoints', 'scores', 'ids', 'samples', 'extras')]
             for shard in index['shards']]
    text = json.dumps([files, index['splits'], index['layout'], index['channels'], index['storage']], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
