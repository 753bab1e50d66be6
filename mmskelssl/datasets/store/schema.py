"""The schema of ``index.json``. The content is checked once when it is read, and other code relies on it."""
import json
import math
import os
import re
from collections.abc import Mapping
from numbers import Real

from mmskelssl.datasets.store.storage import STORAGE
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

VERSION = 3
SHARDS = 3  # from this version on, samples are in shards
NOTES = ('skipped', 'repaired', 'noted')  # lists of what happened to samples
_HASH = re.compile('[0-9a-f]{64}')
# A million samples take about 150 MB. Reading needs at most 30 times the file's size, regardless of its content.
MAX_BYTES = 1 << 28
SUBJECTS = 1 << 31  # upper bound of subjects, frames and persons
# Upper bound of labels and number of class names. A label is the size of arrays: scores have one column per class.
MAX_CLASSES = 1 << 16
MAX_SPLITS = 1 << 10
_FILES = ('keypoints', 'ids', 'samples', 'extras', 'notes')  # of a shard; the first three always exist
RESERVED = ('keypoints', 'name', 'scores', 'self')  # arguments of StoreWriter.add, so no sample has such entries
MAX_FPS = 1000
THIRD = ('score', 'depth', 'none')  # meaning of a joint's third number in the source
_CONTROL = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def read_index(file: str) -> dict:
    """Read and check an ``index.json``.

    Raises:
        UserError: The file is damaged; the message names the fault in one line.
    """
    try:
        if os.path.getsize(file) > MAX_BYTES:
            raise ValueError(f'larger than {MAX_BYTES >> 20} MiB')
        with open(file, 'rb') as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error
    return parse_index(data, file)


def parse_index(data: bytes, file: str) -> dict:
    """Parse and check the bytes of an ``index.json``.

    Args:
        data: Content of the file.
        file: File name for error messages.

    Returns:
        ``samples``, ``splits``, ``layout``, ``channels``, ``classes`` (a list) and all other entries. In version 3,
        ``shards`` instead of ``samples``, and ``splits`` is a list of names.

    Raises:
        UserError: The content is damaged.
    """
    try:
        index = json.loads(data.decode('utf-8'), parse_constant=_refuse, parse_float=_finite,
                           object_pairs_hook=unique_keys)
        check_index(index)
        return index
    except RecursionError:
        raise damaged(file, ValueError('nested too deeply')) from None
    except (KeyError, TypeError, UserError, ValueError) as error:
        raise damaged(file, error) from error


def damaged(file: str, error: Exception) -> UserError:
    """Return the error for an index that cannot be read."""
    text = f'no key {error}' if isinstance(error, KeyError) else plain(str(error), 200)
    return UserError(f'{file} is damaged ({text}): import the data again')


def unique_keys(pairs: list[tuple]) -> dict:
    """Return a JSON object (``object_pairs_hook``). Of a key that appears twice Python would keep the last value.

    Raises:
        ValueError: A key has two values.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        for key, value in pairs:
            if made[key] != value:
                raise ValueError(f'the key {plain(key, 40)!r} appears twice in an object, with different values')
    return made


def plain(text: str, most: int = 80) -> str:
    """Shorten text to one line without control characters, for messages."""
    text = _CONTROL.sub(lambda found: found.group().encode('unicode_escape', 'surrogatepass').decode(), text)
    return text if len(text) <= most else f'{text[:most - 3]}...'


def is_name(value) -> bool:
    """Return whether a value can name a sample, class or split: non-empty text without control characters."""
    return isinstance(value, str) and bool(value) and not _CONTROL.search(value)


def is_rate(value) -> bool:
    """Return whether a value is a number of frames per second."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) <= MAX_FPS


def _refuse(text: str):
    raise ValueError(f'{text} is not a number')


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{plain(text, 20)} is not a finite number')
    return value


def check_index(index) -> None:
    """Check an index, and add entries that older versions lack.

    Raises:
        KeyError, TypeError, UserError, ValueError: The index is invalid.
    """
    if not isinstance(index, dict):
        raise ValueError(f'it contains a {type(index).__name__}, not an object')
    version = index.get('version', 1)
    if not _is_count(version, 1, VERSION + 1):
        raise ValueError(f'version {_shown(version)}: this program reads 1 to {VERSION}')
    layout = index['layout']
    if not isinstance(layout, (str, Mapping)):
        raise ValueError(f'layout {_shown(layout)} is neither a name nor an object')
    layout = get_layout(layout)
    if not _is_count(index['channels'], 2, 5):
        raise ValueError(f'channels {_shown(index["channels"])}: expected 2, 3 or 4')
    if index.get('classes') is None:
        index['classes'] = []
    _check_names('classes', index['classes'])
    if len(index['classes']) > MAX_CLASSES:
        raise ValueError(f'{len(index["classes"])} classes; at most {MAX_CLASSES} are read')
    for key in ('sha256', 'scores_sha256', 'units'):
        if not isinstance(index.get(key, ''), str):
            raise ValueError(f'{key} {_shown(index[key])} is not text')
    if index.get('third', 'none') not in THIRD:
        raise ValueError(f'third {_shown(index["third"])}: expected {", ".join(THIRD)}')
    if 'fps' in index and not is_rate(index['fps']):
        raise ValueError(f'fps {_shown(index["fps"])}: expected frames per second, above 0 and up to {MAX_FPS}')
    _check_masks(index.get('joint_masks'), layout.num_joints)
    if version >= SHARDS:
        _check_shards(index)
    else:
        _check_samples(index['samples'])
        _check_masks_of(index['samples'], index.get('joint_masks'))
        _check_splits(index['splits'])
    _check_provenance(index.setdefault('provenance', {}), version >= SHARDS)


def _check_shards(index: dict) -> None:
    if index.get('storage') not in STORAGE:
        raise ValueError(f'storage {_shown(index.get("storage"))}: expected {", ".join(STORAGE)}')
    _check_names('splits', index['splits'])
    if len(set(index['splits'])) < len(index['splits']) or len(index['splits']) > MAX_SPLITS:
        raise ValueError(f'splits: {_shown(index["splits"])} names one twice, or more than {MAX_SPLITS}')
    shards = index['shards']
    if not isinstance(shards, list) or not shards:
        raise ValueError(f'shards: {_shown(shards)} is not a list of shards')
    scored = {'scores'} if index.get('scores') else set()
    for number, shard in enumerate(shards):
        if not isinstance(shard, dict):
            raise ValueError(f'shard {number} is {_shown(shard)}, not an object')
        for key, least in (('rows', 1), ('samples', 1), ('revision', 0)):
            if not _is_count(shard.get(key), least, 1 << 48):
                raise ValueError(f'shard {number}: {key} is {_shown(shard.get(key))}')
        files = shard.get('files')
        if not isinstance(files, dict) or not {*_FILES[:3], *scored} <= set(files) <= {*_FILES, *scored}:
            raise ValueError(f'shard {number}: its files {_shown(files)} are not those of a shard')
        for what, about in files.items():
            if not isinstance(about, list) or len(about) != 2 or not _is_count(about[0], 0, 1 << 62) or not (
                    isinstance(about[1], str) and _HASH.fullmatch(about[1])):
                raise ValueError(f'shard {number}: {what} is not described by a size and a SHA-256 hash')
        # A file has what the counts say, so they are not larger than the disk.
        if files['samples'][0] < 4 * shard['samples'] or files['keypoints'][0] < shard['rows'] or (
                files['ids'][0] < shard['samples']):
            raise ValueError(f'shard {number}: its files are too small for its samples')


def _check_splits(splits) -> None:
    if not isinstance(splits, dict):
        raise ValueError(f'splits: {_shown(splits)} is not an object')
    for name, ids in splits.items():
        if not is_name(name):
            raise ValueError(f'splits: {_shown(name)} is not a valid name')
        _check_names(f'split {_shown(name)}', ids)


def _check_samples(samples) -> None:
    if not isinstance(samples, list) or not samples:
        raise ValueError(f'samples: {_shown(samples)} is not a list of samples')
    rows = 0
    for i, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise ValueError(f'sample {i} is {_shown(sample)}, not an object')
        name = sample.get('id')
        if not is_name(name):
            raise ValueError(f'sample {i}: its id {_shown(name)} is not a valid name')
        for key in ('offset', 'persons', 'frames'):
            if not _is_count(sample.get(key), int(key != 'offset'), SUBJECTS if key != 'offset' else 1 << 62):
                raise ValueError(f'sample {_shown(name)}: {key} is {_shown(sample.get(key))}')
        if sample['offset'] != rows:
            raise ValueError(f'sample {_shown(name)}: offset {sample["offset"]} does not follow the sample before, '
                             f'expected {rows}')
        rows += sample['persons'] * sample['frames']
        for key, end in (('label', MAX_CLASSES), ('subject', SUBJECTS)):
            value = sample.get(key)
            if value is not None and not _is_count(value, 0, end):
                raise ValueError(f'sample {_shown(name)}: {key} {_shown(value)} is not an integer from 0 to {end - 1}; '
                                 'use null for no value')
        if reserved := next((key for key in RESERVED if key in sample), None):
            raise ValueError(f'sample {_shown(name)}: the key {reserved!r} is reserved')


def _check_masks(masks, joints: int) -> None:
    """Check ``joint_masks``, which list the joints of each sample's source in a pool of different layouts."""
    if masks is None:
        return
    if not isinstance(masks, dict):
        raise ValueError(f'joint_masks: {_shown(masks)} is not an object')
    for name, mask in masks.items():
        if not isinstance(mask, list) or len(mask) != joints or not all(_is_count(value, 0, 2) for value in mask):
            raise ValueError(f'joint_masks: {_shown(name)} is not a list of {joints} numbers 0 and 1')


def _check_masks_of(samples: list[dict], masks: dict | None) -> None:
    for sample in () if masks is None else samples:
        if not isinstance(sample.get('mask'), str) or sample['mask'] not in (masks or ()):
            raise ValueError(f'sample {_shown(sample["id"])}: its mask {_shown(sample.get("mask"))} is not among '
                             'joint_masks')


def _check_names(what: str, names) -> None:
    if not isinstance(names, list):
        raise ValueError(f'{what}: {_shown(names)} is not a list of names')
    for name in names:
        if not is_name(name):
            raise ValueError(f'{what}: {_shown(name)} is not a valid name')


def _check_provenance(provenance, counted: bool) -> None:
    """Check the provenance. In shards, the lists are files, and ``index.json`` has their lengths."""
    if not isinstance(provenance, dict):
        raise ValueError(f'provenance {_shown(provenance)} is not an object')
    if not counted:
        for key in NOTES:
            provenance.setdefault(key, [])
        check_notes(provenance)


def check_notes(notes) -> None:
    """Check the lists of :data:`NOTES`. Raises a ValueError."""
    for key in NOTES:
        entries = notes.get(key) if isinstance(notes, dict) else None
        if not isinstance(entries, list) or not all(
                isinstance(entry, dict) and isinstance(entry.get('id'), str) and isinstance(entry.get('reason'), str)
                for entry in entries):
            raise ValueError(f'provenance: {key} is not a list of objects with id and reason')


def _is_count(value, least: int, end: int) -> bool:
    """Return whether a value is an integer, not a boolean, in [``least``, ``end``)."""
    return type(value) is int and least <= value < end


def _shown(value) -> str:
    """Format a value of the file briefly for a message."""
    if isinstance(value, (list, dict)):
        return f'a {type(value).__name__} of {len(value)}'
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 64:
        return f'a number of {value.bit_length()} bits'
    return plain(json.dumps(value), 60)
