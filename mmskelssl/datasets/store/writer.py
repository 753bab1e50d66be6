"""StoreWriter: writes frames to disk one by one. Only a finished store appears under its name."""
import fcntl
import json
import os
import os.path as osp
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import numpy as np

from mmskelssl import __version__
from mmskelssl.datasets.store.append import Appended
from mmskelssl.datasets.store.journal import LISTS, Journal, Reads, noting_reads
from mmskelssl.datasets.store.placement import check_place, put_in_place
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.sample import checked_entry, checked_frames
from mmskelssl.datasets.store.schema import THIRD, is_name, plain
from mmskelssl.datasets.store.shard_writer import SHARD, Kind, write_sharded
from mmskelssl.datasets.store.single_writer import SINGLE, write_single
from mmskelssl.datasets.store.storage import check_range, check_storage
from mmskelssl.errors import UserError
from mmskelssl.folders import OwnFolder
from mmskelssl.layouts import LAYOUTS, SkeletonLayout, get_layout


class StoreWriter:
    """Writes a store, as a context manager. Memory does not grow with the number of frames.

    An importer that reads file by file calls :meth:`unfinished` to get the remaining files, and :meth:`finish` after
    each file. If the process is killed, the next import with the same source and options continues with the remaining
    files (``resume=True``). If a source file or the table of labels has changed since then, everything that depends
    on it is read again.

    Args:
        path: Folder to create.
        layout: Name, dict or :class:`SkeletonLayout`; None if :meth:`describe` is called later.
        channels: Coordinates of a joint.
        units: Unit of the coordinates, such as ``m``.
        scores: Whether samples have a confidence for each joint, to be written to ``scores.npy``.
        third: Meaning of a joint's third number in the source: ``score``, ``depth`` or ``none``; '' if unknown.
        fps: Frames per second of all samples, if known.
        classes: Class names.
        source, options: Provenance: the source of the import and its options.
        overwrite: Replace an existing store. Folders that are not stores are never replaced.
        resume: Keep finished files of an interrupted import in ``.NAME.partial`` next to the store, and continue there.
        storage: ``float32``, ``float16``, or ``int16`` for millimetres.
        append: Add the new clips to an existing store (:class:`~mmskelssl.datasets.store.append.Appended`).
        shard_size: Megabytes of a shard. By default, a store that needs more than one shard of 512 MB has shards.
    """
    channels: int

    def __init__(self, path: str | os.PathLike, layout: str | dict | SkeletonLayout | None = None,
                 channels: int = 3, units: str = 'm', classes: list[str] | None = None, source: str = '',
                 options: dict | None = None, overwrite: bool = False, resume: bool = False, scores: bool = False,
                 third: str = '', fps: float | None = None, storage: str = 'float32', shard_size: int | None = None,
                 append: bool = False):
        self.path, self.overwrite, self.resume = os.fspath(path), overwrite, resume
        self._target = Appended(self.path, overwrite, storage) if append else None
        if self._target:
            storage = self._target.store.storage
        if shard_size is not None and shard_size < 1:
            raise UserError(f'--shard-size {shard_size}: must be 1 MB or more')
        self.storage, self.sharded, self.shard_bytes = storage, shard_size is not None, (shard_size or SHARD) << 20
        if not append:
            check_place(self.path, overwrite)
        self.samples: list[dict] = []
        self.splits: dict[str, list[str]] = {}
        self.rows = 0
        self.skipped: list[dict] = []
        self.repaired: list[dict] = []
        self.noted: list[dict] = []
        self._ids: set[str] = set()
        self._store = ''
        self._conflict: UserError | None = None
        self.index: dict = dict(version=SINGLE, classes=list(classes or []), provenance=dict(
            source=source, options=options or {}, importer_version=__version__, skipped=self.skipped,
            repaired=self.repaired, noted=self.noted))
        self.layout: SkeletonLayout | None = None
        self.scored = False
        if layout is not None:
            self.describe(layout, channels, units, scores, third, fps)

    def describe(self, layout: str | dict | SkeletonLayout, channels: int = 3, units: str = 'm',
                 scores: bool = False, third: str = '', fps: float | None = None) -> None:
        """Set the format of samples before the first one, for importers that read it from the files."""
        layout = get_layout(layout)
        if not 2 <= channels <= 4:
            raise UserError(f'{self.path}: {channels} coordinates a joint, expected 2, 3 or 4')
        if third and third not in THIRD:
            raise UserError(f'{self.path}: third {third!r}, expected {", ".join(THIRD)}')
        check_storage(self.path, self.storage, units)
        if self._target:
            self._target.check(layout, channels, units, scores, third, fps)
            scores = self._target.store.has_scores
        if self.samples and self.layout and (layout, channels, scores) != (self.layout, self.channels, self.scored):
            raise UserError(f'{self.path}: samples of different kinds, {self.layout.name} with {self.channels} '
                            f'channels and {layout.name} with {channels}')
        self.layout, self.channels, self.scored = layout, channels, scores
        known = LAYOUTS.get(layout.name) == layout and LAYOUTS[layout.name].named == layout.named
        self.index.update(layout=layout.name if known else layout.fields(), channels=channels, units=units,
                          **(dict(third=third) if third else {}), **({} if fps is None else dict(fps=fps)))

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the labels."""
        return self.index['classes']

    def __enter__(self) -> 'StoreWriter':
        parent, name = osp.split(osp.abspath(self.path))
        self._open = ExitStack()
        try:
            os.makedirs(parent, exist_ok=True)
            if self.resume:
                self._folder = osp.join(parent, f'.{name}.partial')
            else:
                self._folder = tempfile.mkdtemp(prefix=f'.{name}-', dir=parent)
            folder = self._open.enter_context(OwnFolder(self._folder, 0o700))
            if self.resume:
                self._lock(folder)
            self._raw = self._open.enter_context(folder.open('frames.raw', 'r+b', create=True))
            journal = self._open.enter_context(folder.open('journal.jsonl', 'r+b', create=True))
        except OSError as error:
            self._open.close()
            raise UserError(f'cannot write to {getattr(self, "_folder", parent)}: {error.strerror or error}; if an '
                            'earlier import left it behind, remove it') from error
        except UserError:
            self._open.close()
            raise
        what = {key: self.index['provenance'][key] for key in ('source', 'options', 'importer_version')}
        if self._target:  # what is known was compared with this store
            what['append'] = self._target.store.data_hash
        if self.storage != 'float32':  # its range was checked
            what['storage'] = self.storage
        what['frames'] = 'scores last'  # frames.raw has each joint's score last, if any; older journals had none
        self._journal = Journal(journal, what, os.fstat(self._raw.fileno()).st_size)
        self._reads = self._open.enter_context(noting_reads())  # files read since the last finished item
        self._written = dict.fromkeys(LISTS, 0)
        return self

    def add(self, name: str, keypoints: np.ndarray, label: int | None = None, subject: int | None = None,
            scores: np.ndarray | None = None, **extra) -> None:
        """Append a sample: keypoints (M, T, V, C), an integer label and subject, and other plain values.

        A store with scores accepts ``scores`` (M, T, V), non-negative confidences; 0 marks a missing joint. In a sample
        without scores every joint away from the origin gets the score 1, which is noted. Negative and non-finite scores
        become 0.

        Non-finite coordinates are filled in from other frames, which is noted
        (:func:`~mmskelssl.datasets.store.mend.fill_gaps`).

        Raises:
            UserError: The sample does not fit the store, or its gaps cannot be filled in.
        """
        assert self.layout is not None  # described before the first sample
        if scores is not None and not self.scored:
            raise UserError(f'sample {name}: it has scores, but {self.path} was described without scores')
        frames, filled = checked_frames(name, keypoints, scores, self.layout, self.channels, self.scored)
        check_range(name, frames[..., :self.channels], self.storage)
        if name in self._ids:
            raise UserError(f'sample {name}: the id appears twice')
        sample = checked_entry(name, self.rows, frames, label, subject, extra)
        if self._is_known(name, frames):
            self._ids.add(name)
            self.samples.append(sample)
            return
        if filled:
            self.repaired.append(dict(id=name, reason=filled))
        if self.scored and scores is None:
            self.note(name, 'no scores: joints away from the origin get 1')
        self._ids.add(name)
        self._raw.write(frames.data)
        self.samples.append(sample)
        self.rows += frames.shape[0] * frames.shape[1]

    def _is_known(self, name: str, frames: np.ndarray) -> bool:
        """Return whether the store to add to has this clip. A conflict ends the import, even if a caller goes on."""
        try:
            return self._target is not None and self._target.has(
                name, frames[..., :self.channels], frames[..., -1] if self.scored else None)
        except UserError as error:
            self._conflict = self._conflict or error
            raise

    def skip(self, name: str, reason: str) -> None:
        """Record a sample that could not be imported."""
        self.skipped.append(dict(id=plain(name, 1000), reason=plain(reason, 1000)))  # a file name may not be valid text

    def note(self, name: str, text: str) -> None:
        """Record a note about a sample of the store."""
        self.noted.append(dict(id=name, reason=plain(text, 1000)))

    def unfinished(self, items: Sequence[str], changed: Callable) -> list[str]:
        """Take over the source files that an interrupted import had finished, and return the remaining ones.

        Args:
            items: Files, in import order.
            changed: ``changed(path, name, stamp)`` returns whether a file has changed
                (:class:`~mmskelssl.datasets.store.journal.Journal`).
        """
        if self.samples and not self._journal.done:  # samples before the first item overwrote the old frames
            return list(items)
        entries, why = self._journal.take(items, self._reads, changed)
        if why:
            print(f'note: {plain(why, 200)} since this import was interrupted: '
                  f'{len(entries)} of {len(self._journal.entries)} files are kept, the rest is read again')
        for key in LISTS:  # each run repeats the notes before the first item
            getattr(self, key).extend(new for entry in entries for new in entry[key])
            self._written[key] = len(getattr(self, key))
        if entries:
            self._reads.clear()
            self._raw.seek(entries[-1]['bytes'])
        self._ids = {sample['id'] for sample in self.samples}
        if self._target:  # an id that the store has, without a conflict
            self._target.known = self._ids & set(self._target.store.positions)
        self.rows = sum(sample['persons'] * sample['frames'] for sample in self._new())
        return list(items)[len(entries):]

    def finish(self, item: str, reads: Reads | None = None) -> None:
        """Record that a source file is complete, so that a resumed import skips it.

        Args:
            item: The file.
            reads: Files that it was read from, if another process read them.
        """
        if self._conflict:
            raise self._conflict
        self._raw.flush()
        new = {key: getattr(self, key)[count:] for key, count in self._written.items()}
        self._journal.append(item=item, bytes=self._raw.tell(), reads={**self._reads, **(reads or {})}, **new)
        self._reads.clear()
        self._written = {key: len(getattr(self, key)) for key in self._written}

    def set_split(self, name: str, ids: Iterable[str]) -> None:
        """Define a split by sample ids. One without samples is omitted, and so is ``all``, which every store has."""
        if not is_name(name):
            raise UserError(f'{self.path}: {plain(json.dumps(name))} is not a valid name for a split')
        members = list(ids)
        if name == 'all' and len(members) < len(self.samples):
            raise UserError(f'{self.path}: a split of some samples is named "all", which means every sample: rename it')
        if members and name != 'all':
            self.splits[name] = members
        else:
            self.splits.pop(name, None)

    def __exit__(self, error_type, error, traceback) -> None:
        kept = False
        try:
            kept = self.resume and bool(self._journal.done) and error_type is not None
            if error_type is None:
                if self._conflict:
                    raise self._conflict
                self._raw.truncate()
                self._raw.flush()
                self._write()
                if not self._target:
                    put_in_place(self._store, self.path, self.overwrite, osp.join(self._folder, 'old'))
            elif issubclass(error_type, OSError):
                raise error
        except OSError as failure:
            kept = self.resume and bool(self._journal.done)
            hint = '; run the command again to continue from here' if kept else ''
            raise UserError(f'cannot write {self.path}: {failure}{hint}') from failure
        finally:
            if not kept:
                shutil.rmtree(self._folder, ignore_errors=True)
            elif self._store:
                shutil.rmtree(self._store, ignore_errors=True)
            self._open.close()

    def _lock(self, folder: OwnFolder) -> None:
        locked = self._open.enter_context(folder.open('lock', 'r+b', create=True))
        try:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f'{self.path}: another import into it is running') from None

    def _write(self) -> None:
        if not self.samples:
            first = f' (first: {self.skipped[0]["id"]}: {self.skipped[0]["reason"]})' if self.skipped else ''
            raise UserError(f'{self.path}: no sample could be imported, so no store was written{first}')
        assert self.layout is not None  # described before the first sample
        if self._target:
            with open(osp.join(self._folder, 'frames.raw'), 'rb') as frames:
                self._target.finish(frames, self.samples, self.splits, self.index, self.kind(), self.shard_bytes)
            return
        self._store = osp.join(self._folder, 'store')
        shutil.rmtree(self._store, ignore_errors=True)  # left by a killed import
        os.mkdir(self._store)
        self.index['splits'] = self.splits
        with open(osp.join(self._folder, 'frames.raw'), 'rb') as frames:
            if self._in_shards():
                write_sharded(self._store, frames, self.samples, self.index, self.kind(), self.shard_bytes)
            else:
                write_single(self._store, frames, dict(self.index, samples=self.samples),
                             (self.rows, self.layout.num_joints, self.channels), self.scored)

    def _new(self) -> list[dict]:
        """Return the samples with frames: all but those that the store to add to has already."""
        known = self._target.known if self._target else ()
        return [sample for sample in self.samples if sample['id'] not in known]

    def _in_shards(self) -> bool:
        """Return whether the frames need shards: they do not fit into one, or are not stored as float32."""
        return self.sharded or self.storage != 'float32' or self.rows * self.kind().row_bytes > self.shard_bytes

    def kind(self) -> Kind:
        """Return what the rows of the store look like."""
        assert self.layout is not None
        return Kind(self.storage, self.layout.num_joints, self.channels, self.scored)


def kind_of(store: SkeletonStore) -> dict:
    """Return arguments of :class:`StoreWriter` for samples like those of a store, except layout and classes."""
    return dict(channels=store.channels, units=store.head.get('units', ''), scores=store.has_scores,
                third=store.head.get('third', ''), fps=store.head.get('fps'), storage=store.storage)
