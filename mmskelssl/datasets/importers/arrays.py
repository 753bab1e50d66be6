"""The user's own arrays: a folder (or zip) of npy, npz, csv or json files, or one npz with everything in it."""
import io
import json
import os.path as osp
import re
import zipfile
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np

from mmskelssl.datasets.importers.import_files import import_files
from mmskelssl.datasets.importers.labels import LABELS, check_share, classes_of, label_table, set_splits
from mmskelssl.datasets.importers.options import Jobs, LabelSource, Layout, SplitSeed, TestShare
from mmskelssl.datasets.importers.source import MAX_BYTES, Source, stem, text_of
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.layouts import read_layout


def import_arrays(path: str, writer: StoreWriter, *, layout: Layout,
                  units: Annotated[str, 'Units of the coordinates'] = 'm', labels: LabelSource = 'auto',
                  test_share: TestShare = 0.2, seed: SplitSeed = 0, jobs: Jobs = None) -> None:
    """Own clips, (T, V, C) or (M, T, V, C): a folder or zip of npy, npz, csv or json files, or one npz.

    A csv file has one line of V * C numbers per frame; a json file holds nested lists, or a dict with "keypoints". An
    npz file holds one clip per key, or "keypoints" (N, [M,] T, V, C) with "labels", "subjects", "ids" if known.
    """
    check_share(test_share)
    source, skeleton = Source(path), read_layout(layout)
    files = [name for name in source.files('.npy', '.npz', '.csv', '.json') if PurePosixPath(name).name != LABELS]
    if not files:
        raise UserError(f'{path}: no .npy, .npz, .csv or .json files in it')
    table = label_table(source, files, labels)
    classes = classes_of(table)
    writer.index['classes'] = classes
    read = _Clips(skeleton.num_joints, table, {name: i for i, name in enumerate(classes)},
                  single=osp.basename(path) if files == ['.'] else '')
    channels = next((clips[0]['keypoints'].shape[-1] for name in files for clips in [_try(read, source, name)]
                     if clips), 3)
    writer.describe(skeleton, channels, units)
    import_files(source, files, read, writer, jobs)
    known = {s['id'] for s in writer.samples} | {s['id'] for s in writer.skipped} | set(files)
    known |= {_last(name) for name in known} | {stem(name) for name in files}
    for row in [row for row in table if row not in known]:
        writer.skip(row, 'the table of labels names it, but there is no clip of it')
    set_splits(writer, test_share, seed)


class _Clips:
    """Reads a file's clips and looks up what is known of them."""

    def __init__(self, joints: int, table: dict[str, dict], classes: dict[str, int], single: str):
        self.joints, self.table, self.classes, self.single = joints, table, classes, single

    def __call__(self, name: str, data: bytes) -> list[dict]:
        own = PurePosixPath(name).with_suffix('').as_posix() if not self.single else ''
        samples = []
        for key, clip, about in clips_in(self.single or name, data, self.joints):
            identifier = '/'.join(part for part in (own, key) if part) or 'clip'
            row = next((self.table[k] for k in (identifier, key, _last(own or key), name) if k in self.table), {})
            label = self.classes.get(row.get('label'), about.get('label'))
            subject = int(row['subject']) if row.get('subject') else about.get('subject')
            split = dict(split=row['split']) if row.get('split') else {}
            samples.append(dict(name=identifier, keypoints=clip, label=label, subject=subject, **split))
        return samples


def _last(identifier: str) -> str:
    return PurePosixPath(identifier).name


def clips_in(name: str, data: bytes, joints: int) -> list[tuple[str, np.ndarray, dict]]:
    """(key, clip (M, T, V, C), what the file says of it) for each clip of a file; the key is '' where there is one."""
    ending = name.lower().rsplit('.', 1)[-1]
    if ending == 'npz':
        arrays = _npz(data)
        if 'keypoints' in arrays:
            return _stacked(arrays, joints)
        return [(key, _clip(array, joints), {}) for key, array in arrays.items()]
    if ending == 'npy':
        array = np.load(io.BytesIO(data), allow_pickle=False)
    elif ending == 'csv':
        lines = [line for line in text_of(data).splitlines() if line.strip()]
        if lines and not _is_numbers(lines[0]):
            lines = lines[1:]  # a header
        array = np.array([[float(value) for value in re.split(r'[,;\s]+', line.strip(' ,;'))] for line in lines])
        if not array.size or array.shape[1] % joints:
            raise ValueError(f'{array.shape[-1]} numbers a line, which is no multiple of the {joints} joints')
        array = array.reshape(len(array), joints, -1)
    else:
        content = json.loads(text_of(data))
        array = np.asarray(content['keypoints'] if isinstance(content, dict) else content, np.float64)
    return [('', _clip(array, joints), {})]


def _clip(array: np.ndarray, joints: int) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in 'fiu':
        raise ValueError(f'an array of {array.dtype}, not of numbers')
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[2] != joints or not 2 <= array.shape[3] <= 4:
        shape = array.shape[1:] if array.shape[:1] == (1,) else array.shape
        raise ValueError(f'shape {shape}, expected (T, {joints}, C) or '
                         f'(M, T, {joints}, C) with C = 2, 3 or 4: choose the layout of the data')
    return array


def _npz(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > 4 * MAX_BYTES:
        raise ValueError(f'it would unpack to {size >> 20} MiB')
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _stacked(arrays: dict[str, np.ndarray], joints: int) -> list[tuple[str, np.ndarray, dict]]:
    clips = arrays['keypoints']
    ids = [str(name) for name in arrays['ids']] if 'ids' in arrays else [f'{i:06d}' for i in range(len(clips))]
    about = {one: arrays[many] for one, many in (('label', 'labels'), ('subject', 'subjects')) if many in arrays}
    for what, values in dict(ids=ids, **about).items():
        if len(values) != len(clips):
            raise ValueError(f'{len(clips)} clips, but {len(values)} {what.rstrip("s")}s')
    return [(ids[i], _clip(clip, joints), {key: int(values[i]) for key, values in about.items()})
            for i, clip in enumerate(clips)]


def _is_numbers(line: str) -> bool:
    try:
        return bool([float(value) for value in re.split(r'[,;\s]+', line.strip(' ,;'))])
    except ValueError:
        return False


def _try(read: _Clips, source: Source, name: str) -> list[dict]:
    """The first readable file tells the number of channels; what is wrong with others is said at their import."""
    try:
        return read(name, source.read(name))
    except Exception:  # noqa: BLE001
        return []
