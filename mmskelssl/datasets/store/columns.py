"""``index.npz``: the index of a store in columns, which load in milliseconds.

The file belongs to one ``index.json``, whose size and hash it contains. Its content is checked against the array when
the store is opened, and against the whole ``index.json`` by ``verify`` and before training.
"""
import hashlib
import io
import json
import os
import os.path as osp
import zipfile

import numpy as np

from mmskelssl.atomic import file_hash, write_atomically
from mmskelssl.datasets.store.schema import MAX_CLASSES, THIRD, VERSION, is_name, is_rate
from mmskelssl.layouts import get_layout

# Per-sample integers that are needed first; -1 means no value.
COLUMNS = ('offset', 'persons', 'frames', 'label', 'subject')
_HEAD = ('version', 'layout', 'channels', 'units', 'classes', 'sha256', 'scores_sha256', 'third', 'fps')


def index_columns(index: dict) -> dict:
    """Return the columns of a checked index.

    Returns:
        :data:`COLUMNS` and ``id`` (UTF-8), (N,) arrays; ``head``, the entries about the whole store and ``data_hash``;
        and ``splits``, {name: positions} of the valid splits: non-empty, without unknown or duplicate ids.
    """
    samples = index['samples']
    columns = {key: np.array([-1 if sample.get(key) is None else sample[key] for sample in samples],
                             np.int64 if key == 'offset' else np.int32) for key in COLUMNS}
    columns['id'] = np.array([sample['id'].encode() for sample in samples], 'S')
    positions, splits = {sample['id']: i for i, sample in enumerate(samples)}, {}
    for name, ids in index['splits'].items():
        found = [positions.get(sample, -1) for sample in ids]
        if found and min(found) >= 0 and len(set(found)) == len(found) and len(positions) == len(samples):
            splits[name] = np.array(found, np.int32)
    kept = [index.get(key) for key in ('sha256', 'samples', 'splits', 'layout', 'channels')]
    if 'scores_sha256' in index:  # a store without scores keeps its hash, so caches and checkpoints stay valid
        kept.append(index['scores_sha256'])
    text = json.dumps(kept, sort_keys=True)
    head = {key: index[key] for key in _HEAD if key in index}
    return dict(columns, splits=splits,
                head=dict(head, data_hash=hashlib.sha256(text.encode()).hexdigest()[:16]))


def write_columns(folder: str, index: dict) -> None:
    """Write ``index.npz`` next to the ``index.json`` that it belongs to. A link of this name is replaced."""
    columns = index_columns(index)
    splits, head = columns.pop('splits'), columns.pop('head')
    head['belongs_to'] = _identity(osp.join(folder, 'index.json'))
    data = io.BytesIO()
    np.savez(data, **columns, **{f'split{i}': rows for i, rows in enumerate(splits.values())},
             head=np.array(json.dumps(dict(head, splits=list(splits)))))
    write_atomically(osp.join(folder, 'index.npz'), data.getvalue())


def read_columns(folder: str, rows: int) -> dict | None:
    """Read the columns of ``index.npz`` in the format of :func:`index_columns`.

    Returns None if the file is missing or damaged, belongs to another ``index.json``, or does not fit an array of
    ``rows`` rows. The file's size bounds time and memory.
    """
    file = osp.join(folder, 'index.npz')
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > osp.getsize(file):
            return None
        with np.load(file, allow_pickle=False) as arrays:
            head = json.loads(arrays['head'].item())
            if not _belongs(head.pop('belongs_to'), osp.join(folder, 'index.json')):
                return None
            splits = {name: arrays[f'split{i}'] for i, name in enumerate(head.pop('splits'))}
            columns = {key: arrays[key] for key in (*COLUMNS, 'id')}
        return dict(columns, splits=splits, head=head) if _fit(columns, splits, head, rows) else None
    except Exception:  # noqa: BLE001  a damaged zip can raise anything; the JSON file is complete
        return None


def _fit(columns: dict, splits: dict, head: dict, rows: int) -> bool:
    """Return whether columns have the right types, are consistent, and describe exactly ``rows`` rows."""
    n = len(columns['offset'])
    kinds = all(columns[key].shape == (n,) and columns[key].dtype == (np.int64 if key == 'offset' else np.int32)
                for key in COLUMNS)
    if not n or not kinds or columns['id'].shape != (n,) or columns['id'].dtype.kind != 'S':
        return False
    persons, frames = columns['persons'].astype(np.int64), columns['frames'].astype(np.int64)
    offset = columns['offset']
    ends = np.append(offset[1:], rows)
    inside = offset[0] == 0 and offset.min() >= 0 and offset.max() < rows  # prevents overflow of the differences
    follow = inside and min(persons.min(), frames.min()) > 0 and (ends - offset == persons * frames).all()
    sound = all(part.shape == (len(part),) and part.dtype == np.int32 and len(part) and part.min() >= 0
                and part.max() < n and len(np.unique(part)) == len(part) for part in splits.values())
    get_layout(head['layout'])
    return bool(follow and sound and min(columns['label'].min(), columns['subject'].min()) >= -1
                and columns['label'].max() < MAX_CLASSES and len(head['classes']) <= MAX_CLASSES
                and all(map(is_name, [*splits, *head['classes'], head['data_hash']]))
                and head['channels'] in (2, 3, 4) and head.get('third', 'none') in THIRD
                and all(isinstance(head.get(key, ''), str) for key in ('sha256', 'scores_sha256', 'units'))
                and is_rate(head.get('fps', 1))
                and head.get('version', 1) in range(1, VERSION + 1))


def same_columns(first: dict, second: dict) -> bool:
    """Return whether the columns of two stores are equal."""
    splits = [{name: rows.tolist() for name, rows in columns['splits'].items()} for columns in (first, second)]
    return first['head'] == second['head'] and splits[0] == splits[1] and all(
        np.array_equal(first[key], second[key]) for key in (*COLUMNS, 'id'))


def _identity(file: str) -> list:
    """Return the size, change time and hash of a file."""
    about = os.stat(file)
    return [about.st_size, about.st_ctime_ns, file_hash(file)]


def _belongs(identity: list, file: str) -> bool:
    """Return whether a file has this identity. A copied file has another time, so its hash is computed."""
    size, time, digest = identity
    about = os.stat(file)
    return about.st_size == size and (about.st_ctime_ns == time or file_hash(file) == digest)
