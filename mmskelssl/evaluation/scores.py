"""Scores of test clips by sample id: what streams are joined by."""
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError

_LIMIT = 1 << 30  # bytes that a file may unpack to


@dataclass(frozen=True)
class Scores:
    """Class scores of N clips.

    Args:
        ids: N sample names.
        scores: (N, classes), higher is better.
        labels: (N,) classes.
        row: Row of results.json that they belong to; empty for other programs' files.
        classes: Class names.
    """
    ids: list[str]
    scores: np.ndarray
    labels: np.ndarray
    row: dict = field(default_factory=dict)
    classes: Sequence[str] = ()


def save_scores(path: str, scores: Scores) -> None:
    """Write ``ids``, ``scores``, ``labels``, ``classes`` and ``row`` (JSON) as an npz, whole or not at all."""
    data = io.BytesIO()
    np.savez_compressed(data, ids=np.array(scores.ids, dtype=str), scores=scores.scores.astype(np.float32),
                        labels=np.asarray(scores.labels, np.int64),
                        classes=np.array(scores.classes, dtype=str), row=json.dumps(scores.row))
    write_atomically(path, data.getvalue())


def load_scores(path: str) -> Scores:
    """Read an npz of :func:`save_scores`, or another with ``ids``, ``scores`` and ``labels``; nothing in it can run."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LIMIT:
            raise UserError(f'{path}: would unpack to {size} bytes; that is no file of scores')
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ('ids', 'scores', 'labels')}
            row = json.loads(str(file['row'])) if 'row' in file else {}
            classes = [str(name) for name in file['classes'].ravel()] if 'classes' in file else []
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except KeyError as error:
        raise UserError(f'{path}: {error.args[0]}; it needs ids, scores and labels') from error
    except UserError:
        raise
    except Exception as error:  # a damaged or crafted zip can fail in any way
        raise UserError(f'{path}: no readable file of scores ({" ".join(str(error).split())[:200]})') from error
    ids, scores, labels = [str(name) for name in arrays['ids'].ravel()], arrays['scores'], arrays['labels']
    if (scores.ndim != 2 or not scores.shape[1] or scores.dtype.kind != 'f' or labels.dtype.kind not in 'iu'
            or labels.shape != (len(ids),) or len(scores) != len(ids) or not ids or not _is_row(row)):
        raise UserError(f'{path}: {len(ids)} ids, scores {scores.shape} and labels {labels.shape} do not fit; '
                        'expected N, (N, classes) and (N,), and a row of names and numbers')
    if not np.isfinite(scores).all():
        raise UserError(f'{path}: the scores of sample {ids[np.flatnonzero(~np.isfinite(scores).all(1))[0]]} are not '
                        'finite')
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        worst = int(np.flatnonzero((labels < 0) | (labels >= scores.shape[1]))[0])
        raise UserError(f'{path}: sample {ids[worst]} has label {labels[worst]}, but there are {scores.shape[1]} '
                        'classes')
    if len(classes) != scores.shape[1]:
        classes = [str(c) for c in range(scores.shape[1])]
    return Scores(ids, scores, labels.astype(np.int64), row, classes)


def _is_row(row) -> bool:
    """A row of results.json: names are texts on one line, all other values numbers or containers of them."""
    names = ('encoder', 'method', 'data', 'split', 'train_split', 'test_split', 'stream', 'protocol', 'recipe')
    numbers = ('label_fraction', 'seed', 'seconds', 'feature_seconds', 'epoch')
    return (isinstance(row, dict)
            and all(isinstance(row.get(key, ''), str) and row.get(key, '').isprintable() for key in names)
            and all(isinstance(row.get(key) or 0, (int, float)) for key in numbers))


def join(members: Sequence[Scores], names: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Bring scores into one order by id.

    Args:
        members: Of the same clips, in any order.
        names: What to call them in messages.

    Returns:
        N ids in the first one's order, (members, N, classes) scores, (N,) labels.
    """
    first = members[0]
    places = [{name: row for row, name in enumerate(member.ids)} for member in members]
    for member, place, name in zip(members, places, names, strict=True):
        if len(place) < len(member.ids):
            raise UserError(f'{name}: {len(member.ids) - len(place)} ids stand twice')
        lacks, more = places[0].keys() - place.keys(), place.keys() - places[0].keys()
        if lacks or more:
            raise UserError(f'{names[0]} and {name} are not of the same clips: {len(lacks)} are only in the first and '
                            f'{len(more)} only in the second, such as {min(lacks or more)!r}')
        if member.scores.shape[1] != first.scores.shape[1]:
            raise UserError(f'{names[0]} has {first.scores.shape[1]} classes, but {name} has {member.scores.shape[1]}')
    orders = [[place[name] for name in first.ids] for place in places]
    for member, order, name in zip(members, orders, names, strict=True):
        other = np.flatnonzero(member.labels[order] != first.labels)
        if len(other):
            raise UserError(f'{names[0]} and {name} give sample {first.ids[other[0]]!r} different labels '
                            f'({len(other)} samples)')
    return first.ids, np.stack([member.scores[order] for member, order in zip(members, orders, strict=True)]), \
        first.labels
