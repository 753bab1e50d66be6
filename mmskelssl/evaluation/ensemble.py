"""Ensembles of encoders, usually the streams of one method: a weighted sum of their scores."""
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.scores import Scores, class_names, join

STREAMS = ('joint', 'bone', 'motion', 'invariant')  # as in mmskelssl.augment, which takes long to import
# Equal weights of the first three streams and of all four. Other streams, or one of them twice, are refused.
TOGETHER = {'3s': STREAMS[:3], '4s': STREAMS}
# Weights of joint, bone and motion in the authors' scripts. They were tuned separately for each cell of a table. Only
# `equal` and `validation` never use the test set. The scripts of ActCLR contain AimCLR's as well.
PUBLISHED = {
    'paper-actclr-xsub': (.4, .4, .4), 'paper-actclr-xview': (.6, .6, .4),
    'paper-skeattnclr-xsub': (.5, .5, .4), 'paper-skeattnclr-xview': (1., .2, .2),
    'paper-aimclr-ntu60-xsub': (.6, .6, .4), 'paper-aimclr-ntu60-xview': (.6, .6, .8),
    'paper-aimclr-ntu120': (.6, .4, .6),
    'paper-aimclr-pkummd1-xsub': (.6, .6, .4), 'paper-aimclr-pkummd1-xview': (.6, 0., .4),
    'paper-aimclr-pkummd2-xsub': (.6, .4, .6), 'paper-aimclr-pkummd2-xview': (.2, .2, .6),
}
FUSIONS = ('equal', 'validation', *TOGETHER, *PUBLISHED)
HELD_OUT = .2  # share of the training clips used to choose weights
# Fields that describe single members, not the ensemble.
_OWN = ('scores', 'picture', 'checkpoint', 'epoch', 'config_hash', 'feature_dim', 'C', 'cv')


def parse_weights(words: str | Sequence[str | float]) -> str:
    """Check weights and return their canonical text: a name, or numbers such as ``0.6 0.6 0.4``.

    Args:
        words: A name in :data:`FUSIONS`, or one number for each member.

    Raises:
        UserError: If there is no such name, or the numbers are negative or all zero.
    """
    words = words.split() if isinstance(words, str) else list(words)
    if len(words) == 1 and words[0] in FUSIONS:
        return str(words[0])
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError):
        raise UserError(f'--weights {" ".join(map(str, words))}: give one number for each member, or one of '
                        f'{", ".join(FUSIONS)}') from None
    if not numbers or not all(math.isfinite(number) and number >= 0 for number in numbers) or not any(numbers):
        raise UserError(f'--weights {" ".join(map(str, words))}: weights must not be negative, and at least one must '
                        'be positive')
    return ' '.join(repr(number).removesuffix('.0') for number in numbers)


def fixed_weights(fusion: str, streams: Sequence[str]) -> np.ndarray:
    """Return the weights of the members.

    Args:
        fusion: As :func:`parse_weights` returns it, but not ``validation``. Numbers are in the order of the members,
            other names assign weights by stream.
        streams: Stream of each member.
    """
    fusion = parse_weights(fusion)
    if fusion == 'equal':
        return np.full(len(streams), 1 / len(streams))
    if fusion == 'validation':
        raise UserError('weights `validation` are chosen on scores of training clips, see choose_weights')
    if fusion not in (*TOGETHER, *PUBLISHED):
        numbers = [float(word) for word in fusion.split()]
        if len(numbers) != len(streams):
            raise UserError(f'--weights {fusion}: {len(numbers)} numbers for {len(streams)} members')
        return np.array(numbers)
    known = TOGETHER.get(fusion, TOGETHER['3s'])
    if sorted(streams) != sorted(known):
        raise UserError(f'--weights {fusion} is for the streams {", ".join(known)}, not for {", ".join(streams)}')
    weights = PUBLISHED.get(fusion, [1 / len(known)] * len(known))
    return np.array([dict(zip(known, weights, strict=True))[stream] for stream in streams])


def stream_of_members(streams: Iterable[str]) -> str:
    """Return the value of ``stream`` for an ensemble.

    ``2s`` is joint and bone, ``3s`` adds motion and ``4s`` the invariant stream. Other streams are joined by ``+``.
    """
    there = {*streams}
    if len(there) > 1 and there == {*STREAMS[:len(there)]}:
        return f'{len(there)}s'
    return '+'.join([*(stream for stream in STREAMS if stream in there), *sorted(there - {*STREAMS})])


def choose_weights(validation: Sequence[Scores], names: Sequence[str], step: float = .1) -> np.ndarray:
    """Return the weights with the best accuracy on held-out training clips.

    Candidates are multiples of ``step`` that sum to 1. Among equally good candidates, the most even one is returned.
    """
    _, scores, labels = join(validation, names)
    parts, n = round(1 / step), len(validation)
    grid = [np.diff((-1, *bars, parts + n - 1)) - 1 for bars in itertools.combinations(range(parts + n - 1), n - 1)]
    weights = np.array(grid) / parts
    hits = [int((np.tensordot(w, scores, 1).argmax(1) == labels).sum()) for w in weights]
    evenness = -np.square(weights - 1 / n).sum(1).round(9)
    return weights[max(range(len(weights)), key=lambda i: (hits[i], evenness[i]))]


def fuse(members: Sequence[Scores], weights: Sequence[float] | np.ndarray, fusion: str) -> Scores:
    """Return the weighted sum of scores and its row: the fields on which the members agree and the new results."""
    names = [member_name(member.row) for member in members]
    ids, scores, labels = join(members, names)
    with np.errstate(over='ignore', invalid='ignore'):
        total = np.tensordot(np.asarray(weights, np.float64), scores.astype(np.float64), 1)
        large = np.flatnonzero(~np.isfinite(total.astype(np.float32)).all(1))
    if len(large):
        raise UserError(f'the weighted scores of sample {ids[large[0]]!r} exceed the range of float32; scale the '
                        'scores or the weights down')
    rows = [member.row for member in members]
    row = {key: _common([row.get(key) for row in rows]) for key in rows[0] if key not in _OWN}
    if len({one.get('subset') for one in rows}) > 1:  # files in the folders of several runs
        row.pop('subset', None)
    row.update(stream=stream_of_members(member['stream'] for member in rows), checkpoint=None,
               **accuracies(labels, total.argmax(1), total), members=names, fusion=fusion,
               weights=[float(weight) for weight in weights], num_test=len(ids),
               **{key: sum(row.get(key) or 0. for row in rows) for key in ('seconds', 'feature_seconds')})
    return Scores(ids, total, labels, row, class_names(members))


def _common(values: Sequence):
    """Return the common value. Different strings are joined. Other values that differ give None."""
    if all(value == values[0] for value in values):
        return values[0]
    return '+'.join(dict.fromkeys(values)) if all(isinstance(value, str) for value in values) else None


def member_name(row: dict) -> str:
    """Return the name of a member in an ensemble."""
    return row.get('checkpoint') or ' '.join(str(row[key]) for key in ('encoder', 'stream', 'split') if row.get(key))


def group(members: Sequence[Scores], keys: Sequence[str]) -> list[list[Scores]]:
    """Group members whose rows agree in ``keys``, in order."""
    groups: dict[tuple, list[Scores]] = {}
    for member in members:
        groups.setdefault(tuple(member.row.get(key) for key in keys), []).append(member)
    return list(groups.values())
