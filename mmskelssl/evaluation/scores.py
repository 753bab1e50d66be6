"""Scores of test clips by sample id, used to combine streams."""
import io
import json
import os.path as osp
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.npz import MAX_CLIPS, sized

_LIMIT = 1 << 30  # maximum size of an unpacked file in bytes
_MAX_ROW = 1 << 20  # characters


@dataclass(frozen=True)
class Scores:
    """Class scores of N clips.

    Args:
        ids: N sample names.
        scores: (N, classes), higher is better.
        labels: (N,) classes.
        row: The corresponding row of results.json. Empty for files of other programs.
        classes: Class names.
    """
    ids: list[str]
    scores: np.ndarray
    labels: np.ndarray
    row: dict = field(default_factory=dict)
    classes: Sequence[str] = ()


def save_scores(path: str, scores: Scores) -> None:
    """Write ``ids``, ``scores``, ``labels``, ``classes`` and ``row`` (JSON) to an npz file atomically."""
    data = io.BytesIO()
    np.savez_compressed(data, ids=np.array(scores.ids, dtype=str), scores=scores.scores.astype(np.float32),
                        labels=np.asarray(scores.labels, np.int64),
                        classes=np.array(scores.classes, dtype=str), row=json.dumps(scores.row))
    write_atomically(path, data.getvalue())


def load_scores(path: str) -> Scores:
    """Read an npz file from :func:`save_scores` or any other with ``ids``, ``scores`` and ``labels``.

    Reading never executes anything in the file.

    Raises:
        UserError: If the file is missing, too large or invalid.
    """
    if osp.exists(path) and not osp.isfile(path):  # a pipe would block
        raise UserError(f'{path} is not a regular file')
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LIMIT:
            raise UserError(f'{path}: would unpack to {size} bytes, too large for a file of scores')
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: sized(file[key]) for key in ('ids', 'scores', 'labels')}
            text, classes = (sized(file[key]) if key in file else None for key in ('row', 'classes'))
        given, scores, labels = arrays['ids'], arrays['scores'], arrays['labels']
        if scores.ndim != 2 or not scores.size or len(scores) > MAX_CLIPS or labels.shape != given.shape or \
                given.shape != scores.shape[:1]:
            raise UserError(f'{path}: ids {given.shape}, scores {scores.shape} and labels {labels.shape} do not match; '
                            f'expected (N,), (N, classes) and (N,), N up to {MAX_CLIPS}')
        if scores.dtype.kind not in 'fiu' or labels.dtype.kind not in 'iu':
            raise UserError(f'{path}: scores are {scores.dtype} and labels {labels.dtype}; expected numbers and '
                            'integers')
        row: dict = {} if text is None else json.loads(_text(text))
        # Compared before they become lists, which take more memory.
        if classes is not None and classes.size and classes.shape != scores.shape[1:]:
            raise UserError(f'{path}: {classes.size} classes for {scores.shape[1]} columns of scores; give a name for '
                            'each, or leave out classes')
        ids, names = _texts(given), [] if classes is None else _texts(classes)
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except KeyError as error:
        raise UserError(f'{path}: {error.args[0]}; it needs ids, scores and labels') from error
    except UserError:
        raise
    except Exception as error:  # a damaged or crafted zip can fail in any way
        raise UserError(f'{path}: not a readable file of scores ({" ".join(str(error).split())[:200]})') from error
    if len(set(names)) < len(names):
        raise UserError(f'{path}: two of its classes are called {Counter(names).most_common(1)[0][0]!r}; give them '
                        'different names')
    if not _is_row(row):
        raise UserError(f'{path}: its row has other values than names and numbers')
    if not np.isfinite(scores).all():
        raise UserError(f'{path}: the scores of sample {ids[np.flatnonzero(~np.isfinite(scores).all(1))[0]]} are not '
                        'finite')
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        worst = int(np.flatnonzero((labels < 0) | (labels >= scores.shape[1]))[0])
        raise UserError(f'{path}: sample {ids[worst]} has label {labels[worst]}, but there are {scores.shape[1]} '
                        'classes')
    if scores.dtype.kind != 'f':
        scores = scores.astype(np.float64)
    return Scores(ids, scores, labels.astype(np.int64), row, names or _numbers(scores.shape[1]))


def _texts(values: np.ndarray) -> list[str]:
    """Return names as text. Bytes, as a program in C or h5py writes them, are UTF-8."""
    return [name.decode('utf-8') if isinstance(name, bytes) else str(name) for name in values]


def _numbers(count: int) -> list[str]:
    """Return the names of classes in a file that has none."""
    return [str(c) for c in range(count)]


def class_names(members: Sequence[Scores]) -> Sequence[str]:
    """Return the classes of the first member that names them."""
    return next((member.classes for member in members if _named(member)), members[0].classes)


def _named(member: Scores) -> bool:
    return len(member.classes) == member.scores.shape[1] and list(member.classes) != _numbers(len(member.classes))


def _text(row: np.ndarray) -> str:
    if row.shape or row.dtype.kind != 'U' or row.dtype.itemsize > 4 * _MAX_ROW:
        raise ValueError('its row is not a text')
    return str(row)


def _is_row(row) -> bool:
    """Return whether a row of results.json has one-line strings as names and numbers in its numeric fields."""
    names = ('encoder', 'method', 'data', 'split', 'train_split', 'test_split', 'stream', 'protocol', 'recipe')
    numbers = ('label_fraction', 'seed', 'seconds', 'feature_seconds', 'epoch')
    return (isinstance(row, dict)
            and all(isinstance(row.get(key, ''), str) and row.get(key, '').isprintable() for key in names)
            and all(isinstance(row.get(key) or 0, (int, float)) for key in numbers))


def join(members: Sequence[Scores], names: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Align the scores of several members by id.

    Args:
        members: Scores of the same clips, in any order.
        names: Names of the members, for messages.

    Returns:
        N ids in the order of the first member, (members, N, classes) scores, (N,) labels.

    Raises:
        UserError: If the members differ in clips, classes or labels.
    """
    first, classes = members[0], class_names(members)
    places = [{name: row for row, name in enumerate(member.ids)} for member in members]
    for member, place, name in zip(members, places, names, strict=True):
        if len(place) < len(member.ids):
            raise UserError(f'{name}: {len(member.ids) - len(place)} ids are duplicates')
        lacks, more = places[0].keys() - place.keys(), place.keys() - places[0].keys()
        if lacks or more:
            raise UserError(f'{names[0]} and {name} do not contain the same clips: {len(lacks)} are only in the first '
                            f'and {len(more)} only in the second, such as {min(lacks or more)!r}')
        if member.scores.shape[1] != first.scores.shape[1]:
            raise UserError(f'{names[0]} has {first.scores.shape[1]} classes, but {name} has {member.scores.shape[1]}')
        if _named(member) and list(member.classes) != list(classes):
            column = next(c for c, pair in enumerate(zip(classes, member.classes, strict=True)) if len({*pair}) > 1)
            raise UserError(f'{name}: class {column} is {member.classes[column]!r}, but {classes[column]!r} in another '
                            'member; all members need the same classes in the same order')
    orders = [[place[name] for name in first.ids] for place in places]
    for member, order, name in zip(members, orders, names, strict=True):
        other = np.flatnonzero(member.labels[order] != first.labels)
        if len(other):
            raise UserError(f'{names[0]} and {name} give sample {first.ids[other[0]]!r} different labels '
                            f'({len(other)} samples)')
    return first.ids, np.stack([member.scores[order] for member, order in zip(members, orders, strict=True)]), \
        first.labels
