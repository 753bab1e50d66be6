"""SkeletonStore: a folder of plain arrays and JSON. Opening it reads no frames and executes no code."""
import os
import os.path as osp
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from mmskelssl.datasets.store.damage import Damage
from mmskelssl.datasets.store.remote import RemoteFiles, is_remote
from mmskelssl.datasets.store.schema import SHARDS, parse_index, read_index
from mmskelssl.datasets.store.shard_files import FOLDER, LocalFiles
from mmskelssl.datasets.store.shards import Shards
from mmskelssl.datasets.store.single import SingleArray
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout


class SkeletonStore:
    """Memory-mapped sequences of skeletons on disk.

    A small store (version 2) is one array: ``keypoints.npy`` holds the frames of all samples consecutively,
    (rows, V, C) float32. If the source has confidences for the joints, ``scores.npy`` holds them in the same rows,
    (rows, V) float32; a score of 0 marks a missing joint. ``index.json`` holds everything else
    (:mod:`~mmskelssl.datasets.store.schema`). ``index.npz`` holds the same in columns, to open the store in
    milliseconds. The JSON file takes precedence: if it has been edited, or the columns do not match it or the array,
    the columns are computed from it.

    A large one (version 3) consists of shards (:mod:`~mmskelssl.datasets.store.shards`), which are mapped when they are
    first used. Both are read in the same way.

    Args:
        path: Folder of the store, or an address (:mod:`~mmskelssl.datasets.store.remote`).
        complete: Raise a UserError if a shard is incomplete. Otherwise its samples raise it when they are read.
        without: Numbers of shards to leave out.
    """

    def __init__(self, path: str | os.PathLike, complete: bool = True, without: Container[int] = ()):
        self.path = os.fspath(path)
        self.remote = is_remote(self.path)
        file = osp.join(self.path, 'index.json')
        if not self.remote and not osp.isfile(file):
            raise UserError(f'{self.path} is not a store (no index.json): create one with `python '
                            f'tools/prepare_data.py SOURCE PATH --out {self.path}`')
        self.content: SingleArray | Shards = _fetched(self.path, complete, without) if self.remote else (
            _sharded(self.path, file, complete, without) or SingleArray(self.path))
        self.head: dict = self.content.head
        self.layout: SkeletonLayout = get_layout(self.head['layout'])
        self.channels: int = self.head['channels']
        self.classes: list[str] = self.head['classes']
        self.has_scores: bool = self.content.has_scores
        self.storage: str = self.content.storage

    def __getstate__(self):
        return self.path  # mapped arrays are not pickled

    def __setstate__(self, path: str):
        self.__init__(path)  # type: ignore[misc]  # a subclass takes the path alone, too

    def __len__(self) -> int:
        return len(self.content)

    @property
    def sharded(self) -> bool:
        """Whether the store consists of shards (version 3)."""
        return isinstance(self.content, Shards)

    @property
    def shards(self) -> list[range]:
        """Positions of the samples of each shard. A store of one array has a single one."""
        return self.content.parts()

    @property
    def index(self) -> dict:
        """The whole index.json, read and checked on first access."""
        return self.content.index

    @property
    def samples(self) -> Sequence[dict]:
        """The entry of each sample, in order. The columns are faster."""
        return self.content.samples

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """Sample ids of each split."""
        return self.content.splits

    @property
    def joint_masks(self) -> dict[str, list[int]] | None:
        """Joints of each source, in a pool of different layouts (``merge --names``); None in other stores."""
        return self.content.joint_masks

    @property
    def ids(self) -> list[str]:
        """Sample ids, in order."""
        return self.content.ids

    def name(self, i: int) -> str:
        """Return the id of a sample. Does not read the others."""
        return self.content.name(i)

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

    @property
    def persons(self) -> np.ndarray:
        """(N,) int32: persons of each sample."""
        return self.content.persons

    @property
    def frames(self) -> np.ndarray:
        """(N,) int32: frames of each sample."""
        return self.content.frames

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64; -1 for samples without a label."""
        return self.content.labels.astype(np.int64)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(N,) int64; -1 for unknown subjects."""
        return self.content.subjects.astype(np.int64)

    @property
    def data_hash(self) -> str:
        """Hash of the store's content: frames (through their own hashes), samples, splits and layout."""
        return self.head['data_hash']

    def keypoints(self, i: int) -> np.ndarray:
        """Return (M, T, V, C) float32 of a sample: a view of its frames, or a copy for storage in other types."""
        return self.content.keypoints(i)

    def scores(self, i: int) -> np.ndarray | None:
        """Return a view (M, T, V) of the joint confidences, 0 for missing joints; None for a store without scores."""
        return self.content.scores(i) if self.has_scores else None

    def joint_mask(self, i: int) -> np.ndarray:
        """Return (V,) bool: the joints of a sample's source; all True except in a pool of layouts (``merge``)."""
        masks = self.joint_masks
        if masks is None:
            return np.ones(self.layout.num_joints, bool)
        name = self.samples[i].get('mask')
        if name not in masks:
            raise UserError(f'{self.path}: sample {self.name(i)}: its mask is not among joint_masks: merge the '
                            'stores again')
        return np.array(masks[name], bool)

    def split(self, name: str) -> np.ndarray:
        """Return the positions (n,) of a split's samples; ``all`` gives every sample."""
        if name == 'all':
            return np.arange(len(self))
        members = self.content.members(name)
        if members is not None:
            return members.astype(np.int64)
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
        return self.content.columns_are_sound()

    def damage(self, samples: Sequence[int] | None = None) -> Iterator[Damage]:
        """Compare all files with their hashes, one after the other; in shards, only those of ``samples`` if given."""
        return self.content.damage(samples)

    def verify_hash(self, samples: Sequence[int] | None = None) -> None:
        """Compare all frames and the whole index with their hashes. Raises a UserError if they differ.

        Files of a store at an address are compared when they are fetched.

        Args:
            samples: Positions of the samples that will be read. Other shards are not compared.
        """
        for damage in () if self.remote else self.damage(samples):
            raise UserError(f'{self.path}/{damage.error}')


def _fetched(address: str, complete: bool, without: Container[int]) -> Shards:
    """Open a store of version 3 at an address."""
    files = RemoteFiles(address)
    index = parse_index(files.index(), f'{address}/index.json')
    if index.get('version', 1) < SHARDS:
        raise UserError(f'{address} is one array, which cannot be fetched in parts: import it with --shard-size, or '
                        'copy it here')
    content = Shards(address, index, files, complete, without)
    files.removed = content.release
    return content


def _sharded(path: str, file: str, complete: bool, without: Container[int]) -> Shards | None:
    """Open a store of version 3; None if it is another one."""
    try:
        files = LocalFiles(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f'{osp.join(path, FOLDER)} cannot be read ({error.strerror}): import the data again') from error
    index = read_index(file)
    return Shards(path, index, files, complete, without) if index.get('version', 1) >= SHARDS else None
