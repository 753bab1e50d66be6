"""Combines rows of single runs: fuses streams, pools folds and averages seeds."""
import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fixed_weights, fuse
from mmskelssl.evaluation.metrics import interval
from mmskelssl.evaluation.results import main_number
from mmskelssl.evaluation.scores import Scores, load_scores

FILES = ('scores', 'picture', 'subset')
_ENCODER = ('encoder', 'method', 'backbone', 'data')
_RECIPE = ('protocol', 'recipe', 'label_fraction')
_NUMBERS = ('top1', 'top5', 'mean_class', 'map', 'nmi', 'ari')
_OWN = (*FILES, 'per_class', 'recall', 'map_ci95', 'members', 'C', 'cv')  # only in rows of single runs


def join_streams(rows: Sequence[dict], folder: str, streams: Sequence[str], weights: str = 'equal',
                 recipes: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> list[dict]:
    """Return the rows of stream ensembles: scores fused by sample id for each encoder, seed, split and recipe.

    Args:
        rows: Rows whose ``scores`` name files below ``folder``. Rows without scores are ignored.
        weights: See :func:`~mmskelssl.evaluation.ensemble.fixed_weights`. Numbers are in the order of ``streams``.
        recipes: Stream -> protocol -> recipes, if the streams have different recipes. The first recipe of a stream is
            fused with the first of the others, and so on.

    Raises:
        UserError: If an encoder lacks the scores of a stream.
    """
    groups: dict[tuple, list[Scores]] = {}
    for row in rows:
        if row.get('scores'):
            recipe = row['recipe']
            if recipes:
                recipe = recipes[row['stream']][row['protocol']].index(recipe)
            key = (*(row.get(name) for name in (*_ENCODER, 'pretrain_seed', 'split', 'train_split', 'test_split',
                                                'protocol', 'label_fraction')), recipe)
            groups.setdefault(key, []).append(replace(load_scores(osp.join(folder, row['scores'])), row=row))
    made = []
    for some in groups.values():
        there = [member.row['stream'] for member in some]
        if sorted(there) != sorted(streams):
            raise UserError(f'{folder}: {some[0].row["encoder"]} has scores of the streams {", ".join(there)} only: '
                            'delete the results.json of the others, and run again')
        fused = fuse(some, fixed_weights(weights, there), weights)
        fused.row['per_class'] = {fused.classes[c]: value for c, value in fused.row['per_class'].items()}
        made.append(fused.row)
    return made


def average_seeds(rows: Sequence[dict]) -> list[dict]:
    """Return a row over the seeds of each encoder, stream, split and recipe: means, and ``std`` of the main number.

    ``ci95`` is the interval of the mean accuracy on the same number of test samples. It does not reflect the variation
    between seeds.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in (*_ENCODER, 'stream', 'split', *_RECIPE)), []).append(row)
    made = []
    for runs in groups.values():
        numbers = {key: _mean([row[key] for row in runs]) for key in _NUMBERS if key in runs[0]}
        count = runs[0]['num_test']
        made.append({**{key: value for key, value in runs[0].items() if key not in _OWN}, **numbers,
                     'ci95': _interval(numbers['top1'], count), 'std': float(np.std(
                         [main_number(row)[0] for row in runs], ddof=1)) if len(runs) > 1 else 0.,
                     'seeds': [row['pretrain_seed'] for row in runs], 'pretrain_seed': None, 'seed': None,
                     'by_seed': [main_number(row)[0] for row in runs], 'checkpoint': None, 'config_hash': None,
                     'seconds': sum(row['seconds'] for row in runs)})
    return made


def _mean(values: Sequence[float | None], weights: Sequence[float] | None = None) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.average(known, weights=weights)) if len(known) == len(values) else None


def _interval(top1: float | None, count: int) -> list[float]:
    assert top1 is not None  # measured by every protocol
    return interval(np.arange(count) < round(top1 * count / 100))


def pool_folds(rows: Sequence[dict]) -> list[dict]:
    """Return one row over the folds of each encoder and recipe, in which every test sample counts once.

    Numbers are weighted by the number of test samples of the folds. The interval is that of all samples together.
    Other fields are those on which the folds agree, and None otherwise.

    Raises:
        UserError: If a fold occurs twice.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row.get(name) for name in (*_ENCODER, 'stream', 'pretrain_seed', *_RECIPE))
        groups.setdefault(key, []).append(row)
    pooled = []
    for folds in groups.values():
        if len({row['split'] for row in folds}) != len(folds):
            raise UserError(f'{folds[0]["encoder"]}: a fold occurs twice in {[row["split"] for row in folds]}')
        counts = [row['num_test'] for row in folds]
        numbers = {key: _mean([row[key] for row in folds], counts) for key in _NUMBERS if key in folds[0]}
        pooled.append({**{key: value if all(row.get(key) == value for row in folds) else None
                          for key, value in folds[0].items() if key == 'members' or key not in _OWN}, **numbers,
                       'ci95': _interval(numbers['top1'], sum(counts)), 'split': f'{len(folds)} folds',
                       'config_hash': None, 'folds': {row['split']: row['top1'] for row in folds},
                       'num_test': sum(counts), 'num_train': int(np.mean([row['num_train'] for row in folds])),
                       'seconds': sum(row['seconds'] for row in folds),
                       'feature_seconds': sum(row['feature_seconds'] for row in folds)})
    return pooled
