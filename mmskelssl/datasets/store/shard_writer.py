"""Writes shards, and the entries of their samples. ``index.json`` names them only when they are complete."""
import json
import os
import os.path as osp
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mmskelssl.atomic import file_hash, sync_folder, write_atomically
from mmskelssl.datasets.store.array_files import npy_file, raw_file
from mmskelssl.datasets.store.schema import MAX_CLASSES, MAX_SPLITS, NOTES, SHARDS, SUBJECTS, parse_index
from mmskelssl.datasets.store.shard import NUMBERS
from mmskelssl.datasets.store.shard_files import FOLDER, file_name
from mmskelssl.datasets.store.storage import STORAGE, encode, largest_error, said
from mmskelssl.errors import UserError

SHARD = 512  # MB
_OWN = ('id', 'offset', 'persons', 'frames', 'label', 'subject')
_BLOCK = 1 << 18  # numbers


@dataclass(frozen=True)
class Kind:
    """What the rows of a store look like: storage, joints, coordinates, and whether there are scores."""
    storage: str
    joints: int
    channels: int
    scored: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of a row on disk, with its scores."""
        return self.joints * (self.channels * STORAGE[self.storage][0].itemsize + 4 * self.scored)


def write_sharded(store: str, frames: BinaryIO, samples: Sequence[dict], index: dict, kind: Kind, most: int) -> None:
    """Write a store of shards.

    Args:
        store: Folder of the store.
        frames, samples, kind, most: As for :func:`write_shards`.
        index: Entries of ``index.json`` of version 2 except the samples; not modified.
    """
    masks, provenance = masks_of(samples, index['splits']), dict(index['provenance'])
    notes = {key: provenance.pop(key) for key in NOTES}
    shards, error = write_shards(store, frames, samples, masks, kind, notes, most=most)
    provenance['counts'] = {key: len(entries) for key, entries in notes.items()}
    if kind.storage != 'float32':
        provenance['largest_error'] = error
        print(said(kind.storage, error, index['units']))
    write_index(store, dict(index, version=SHARDS, storage=kind.storage, scores=kind.scored, splits=list(masks),
                            shards=shards, provenance=provenance))


def write_index(store: str, index: dict) -> None:
    """Write ``index.json`` of a store whose shards are complete.

    Raises:
        UserError: It could not be read again.
    """
    text = json.dumps(index).encode()
    file = osp.join(store, 'index.json')
    parse_index(text, file)
    sync_folder(osp.join(store, FOLDER))
    write_atomically(file, text)


def write_shards(store: str, frames: BinaryIO, samples: Sequence[dict], splits: Mapping[str, np.ndarray], kind: Kind,
                 notes: Mapping[str, list], first: int = 0, most: int = SHARD << 20) -> tuple[list[dict], float]:
    """Write samples into shards of limited size. A sample that is larger has a shard of its own.

    Args:
        store: Folder of the store. Files of the same names in its folder ``shards`` are replaced.
        frames: Frames of the samples, float32, each row with its coordinates or (V, C + 1) with the scores last.
        samples: Entries of the samples.
        splits: Name -> (N,) bool, the samples of each split.
        kind: What the rows look like.
        notes: What was skipped, repaired and noted; it becomes part of the first shard.
        first: Number of the first shard.
        most: Largest size of a shard's frames and scores in bytes.

    Returns:
        Entries of the shards for ``index.json``, and the largest error of a coordinate in another storage.
    """
    folder = osp.join(store, FOLDER)
    os.makedirs(folder, exist_ok=True)
    entries: list[dict] = []
    error = 0.
    for part in _parts(samples, most // kind.row_bytes):
        number, chosen = first + len(entries), samples[part.start:part.stop]
        rows = sum(sample['persons'] * sample['frames'] for sample in chosen)
        error = max(error, _write_frames(folder, number, frames, rows, kind))
        names = write_names(folder, number, chosen, {} if entries else notes)
        written = ['keypoints', *['scores'] * kind.scored, *names]
        masks = {name: mask[part.start:part.stop] for name, mask in splits.items()}
        entries.append(dict(rows=rows, samples=len(chosen), revision=0, files={
            **{what: about_file(folder, number, what) for what in written},
            **write_entries(folder, number, 0, chosen, masks)}))
    return entries, error


def write_names(folder: str, number: int, samples: Sequence[dict], notes: Mapping[str, list]) -> list[str]:
    """Write ``ids.npy`` of a shard, and ``notes.json`` if there are any. Returns what was written."""
    _save(folder, number, 'ids', np.array([sample['id'].encode() for sample in samples]))
    if not any(notes.values()):
        return ['ids']
    with raw_file(osp.join(folder, file_name(number, 'notes', 0))) as file:
        file.write(json.dumps(dict(notes)).encode())
    return ['ids', 'notes']


def write_entries(folder: str, number: int, revision: int, samples: Sequence[dict],
                  splits: Mapping[str, np.ndarray]) -> dict:
    """Write ``samples-R.npy`` and ``extras-R.npy`` of a shard, and return their entries in ``index.json``."""
    numbers, extras = pack(samples, splits)
    _save(folder, number, 'samples', numbers, revision)
    files = dict(samples=about_file(folder, number, 'samples', revision))
    if len(extras):
        _save(folder, number, 'extras', extras, revision)
        files['extras'] = about_file(folder, number, 'extras', revision)
    return files


def pack(samples: Sequence[dict], splits: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrays of ``samples.npy`` and ``extras.npy``.

    Raises:
        UserError: A value is not allowed, such as a subject that is negative.
    """
    if len(splits) > MAX_SPLITS:
        raise UserError(f'{len(splits)} splits; a store has at most {MAX_SPLITS}')
    texts = []
    for sample in samples:
        extra = {key: value for key, value in sample.items() if key not in _OWN}
        texts.append(json.dumps(extra, allow_nan=False).encode() if extra else b'')
        for what, end in (('label', MAX_CLASSES), ('subject', SUBJECTS)):
            if (value := sample.get(what)) is not None and not 0 <= value < end:
                raise UserError(f'sample {sample["id"]}: {what} {value} is not between 0 and {end - 1}')
    numbers = np.zeros((len(NUMBERS) + -(-len(splits) // 32), len(samples)), '<i4')
    for row, what in enumerate(NUMBERS[:-1]):
        numbers[row] = [-1 if sample.get(what) is None else sample[what] for sample in samples]
    numbers[len(NUMBERS) - 1] = [len(text) for text in texts]
    for place, mask in enumerate(splits.values()):
        bits = numbers[len(NUMBERS) + place // 32].view(np.uint32)
        bits |= mask.astype(np.uint32) << np.uint32(place % 32)
    return numbers, np.frombuffer(b''.join(texts), np.uint8)


def masks_of(samples: Sequence[dict], splits: Mapping[str, Iterable[str]]) -> dict[str, np.ndarray]:
    """Return (N,) bool for each split: the samples whose ids it lists.

    Raises:
        UserError: A split lists an unknown id, or one twice.
    """
    place = {sample['id']: i for i, sample in enumerate(samples)}
    masks = {}
    for name, ids in splits.items():
        mask = np.zeros(len(samples), bool)
        for sample in ids:
            if sample not in place:
                raise UserError(f'the split {name!r} names the unknown sample {sample!r}')
            if mask[place[sample]]:
                raise UserError(f'the split {name!r} names the sample {sample!r} twice')
            mask[place[sample]] = True
        masks[name] = mask
    return masks


def _parts(samples: Sequence[dict], most: int) -> Iterator[range]:
    """Yield runs of samples with at most this number of rows together."""
    start = rows = 0
    for i, sample in enumerate(samples):
        more = sample['persons'] * sample['frames']
        if i > start and rows + more > most:
            yield range(start, i)
            start, rows = i, 0
        rows += more
    yield range(start, len(samples))


def _write_frames(folder: str, number: int, frames: BinaryIO, rows: int, kind: Kind) -> float:
    """Write the next rows of ``frames``, and return the largest error of their coordinates."""
    error, width = 0., kind.channels + kind.scored
    block = max(_BLOCK // (kind.joints * width), 1)
    keypoints, apart = (osp.join(folder, file_name(number, what, 0)) for what in ('keypoints', 'scores'))
    with npy_file(keypoints, STORAGE[kind.storage][0], (rows, kind.joints, kind.channels)) as out, (
            npy_file(apart, np.dtype('<f4'), (rows, kind.joints)) if kind.scored else nullcontext()) as scores:
        for start in range(0, rows, block):
            count = min(block, rows - start)
            part = np.fromfile(frames, '<f4', count * kind.joints * width).reshape(count, kind.joints, width)
            out.write(encode(part[..., :kind.channels], kind.storage).tobytes())
            if kind.storage != 'float32':
                error = max(error, largest_error(part[..., :kind.channels], kind.storage))
            if scores:
                scores.write(part[..., -1].tobytes())
    return error


def _save(folder: str, number: int, what: str, array: np.ndarray, revision: int = 0) -> None:
    with npy_file(osp.join(folder, file_name(number, what, revision)), array.dtype, array.shape) as out:
        out.write(array.tobytes())


def about_file(folder: str, number: int, what: str, revision: int = 0) -> list:
    """Return what ``index.json`` says about a file: its size and hash."""
    file = osp.join(folder, file_name(number, what, revision))
    return [osp.getsize(file), file_hash(file)]
