"""Pre-trains and measures a config over splits, streams and seeds: pools folds, fuses streams and averages seeds."""
import json
import os.path as osp
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmskelssl.commands.measure import evaluate_checkpoints
from mmskelssl.engine.config import load_config, split_pair
from mmskelssl.engine.train import train
from mmskelssl.engine.work_dir import checkpoints
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import fixed_weights, fuse, group
from mmskelssl.evaluation.metrics import interval
from mmskelssl.evaluation.protocols import PROTOCOLS
from mmskelssl.evaluation.results import main_number, print_table, write_results
from mmskelssl.evaluation.scores import load_scores

_ENCODER = ('encoder', 'method', 'backbone', 'data')
_RECIPE = ('protocol', 'recipe', 'label_fraction')
_NUMBERS = ('top1', 'top5', 'mean_class', 'map', 'nmi', 'ari')
_FILES = ('scores', 'picture', 'subset')
_OWN = (*_FILES, 'per_class', 'recall', 'map_ci95', 'weights', 'members', 'fusion')  # only in rows of single runs


def benchmark(config: str, out: str, splits: Sequence[str] = (), streams: Sequence[str] = ('joint',),
              seeds: Sequence[int] = (0,), protocols: Sequence[str] = ('knn', 'linear'),
              cfg_options: dict | None = None, imports: Sequence[str] = ()) -> list[dict]:
    """Train and evaluate every combination, with a separate evaluation of each stage. Finished parts are skipped.

    Args:
        out: Output folder. Each run has its own subfolder, and ``results.json`` in the folder contains all rows.
        splits: Values of ``data.split``. Default: that of the config. Several values are treated as folds, whose test
            parts are pooled.
        streams: Several streams are fused with equal weights into rows of the stream ``3s``.
        seeds: Several seeds are summarised in additional rows with the mean and the standard deviation ``std``.

    Returns:
        All rows.
    """
    rows: list[dict] = []
    hashes: set[tuple] = set()
    for stream in streams:
        for seed in seeds:
            for split in splits or (None,):
                name = '_'.join(str(part) for part in (split, stream, f'seed{seed}') if part)
                found = _run(config, osp.join(out, name), split, stream, seed, protocols, cfg_options or {}, imports,
                             hashes, len(streams) > 1)
                rows += [{**row, **{key: f'{name}/{row[key]}' for key in _FILES if row.get(key)}}
                         for row in found if row['protocol'] in protocols]
    rows += join_streams(rows, out, streams) if len(streams) > 1 else []
    rows = pool_folds(rows) if len(splits) > 1 else rows
    rows += average_seeds(rows) if len(seeds) > 1 else []
    # A single hash of each kind, or None if runs differ. Each row has its own hashes.
    config_hash, data_hash = (values.pop() if len(values) == 1 else None
                              for values in ({h for h, _ in hashes}, {h for _, h in hashes}))
    write_results(out, rows, config_hash, data_hash)
    print_table(rows)
    return rows


def _run(config, folder, split, stream, seed, protocols, options, imports, hashes, scores) -> list[dict]:
    file = osp.join(folder, 'results.json')
    content = _read(file) if osp.isfile(file) else dict(results=[])
    options = {**options, 'model.data_preprocessor.stream': stream, **({'data.split': split} if split else {})}
    # If the run is finished, this trains nothing but refuses a run of another config or of other data.
    train(config, folder, resume='auto', seed=seed, cfg_options=options)
    for protocol in protocols:
        earlier = [row for row in content['results'] if row['protocol'] == protocol]
        scored = getattr(PROTOCOLS[protocol], 'SCORED', True)
        if earlier and (not scores or not scored or any(row.get('scores') for row in earlier)):
            continue
        names = [name for name, _ in load_config(config)]
        ends = [checkpoints(osp.join(folder, name) if len(names) > 1 else folder)[-1] for name in names]
        pairs = [':'.join(split_pair(split))] if split else None
        # Measure one protocol at a time, so that an interruption loses only one.
        evaluate_checkpoints(ends, [protocol], folder, imports=imports, pairs=pairs, untrained=True, seed=seed)
        content = _read(file)
    hashes.add((content['config_hash'], content['data_hash']))
    return content['results']


def _read(file: str) -> dict:
    """Return the content of a results.json. Its rows name files below its folder only."""
    try:
        with open(file, encoding='utf-8') as stream:
            content = json.load(stream)
        names = [row.get(key) or '' for row in content['results'] for key in ('scores', 'picture')]
        texts = [row['protocol'] for row in content['results']]
        texts += [content[key] for key in ('config_hash', 'data_hash') if content[key] is not None]
        if not all(isinstance(text, str) for text in [*names, *texts]) or any(
                osp.isabs(name) or '..' in name.split('/') for name in names):
            raise ValueError('a row names a file outside of the folder, or has another type')
        return content
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise UserError(f'{file} cannot be read ({type(error).__name__}: {error}): delete it, and run again') from error


def join_streams(rows: Sequence[dict], folder: str, streams: Sequence[str]) -> list[dict]:
    """Return the rows of stream ensembles: scores fused by sample id for each encoder, seed, split and recipe.

    Args:
        rows: Rows whose ``scores`` name files below ``folder``. Rows without scores are ignored.

    Raises:
        UserError: If an encoder lacks the scores of a stream.
    """
    members = []
    for row in rows:
        if row.get('scores'):
            found = load_scores(osp.join(folder, row['scores']))
            members.append(replace(found, row=row))
    made = []
    for some in group(members, (*_ENCODER, 'pretrain_seed', 'split', 'train_split', 'test_split', *_RECIPE)):
        if sorted(member.row['stream'] for member in some) != sorted(streams):
            there = ', '.join(member.row['stream'] for member in some)
            raise UserError(f'{folder}: {some[0].row["encoder"]} has scores of the streams {there} only: delete the '
                            'results.json of the others, and run again')
        row = fuse(some, fixed_weights('equal', streams), 'equal').row
        row['per_class'] = {some[0].classes[c]: value for c, value in row['per_class'].items()}
        made.append(row)
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

    Raises:
        UserError: If a fold occurs twice.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row.get(name) for name in ('encoder', 'method', 'stream', 'pretrain_seed', *_RECIPE))
        groups.setdefault(key, []).append(row)
    pooled = []
    for folds in groups.values():
        if len({row['split'] for row in folds}) != len(folds):
            raise UserError(f'{folds[0]["encoder"]}: a fold occurs twice in {[row["split"] for row in folds]}')
        counts = [row['num_test'] for row in folds]
        numbers = {key: _mean([row[key] for row in folds], counts) for key in _NUMBERS if key in folds[0]}
        pooled.append({**{key: value for key, value in folds[0].items() if key not in _OWN}, **numbers,
                       'ci95': _interval(numbers['top1'], sum(counts)), 'split': f'{len(folds)} folds',
                       'checkpoint': None, 'folds': {row['split']: row['top1'] for row in folds},
                       'num_test': sum(counts), 'num_train': int(np.mean([row['num_train'] for row in folds])),
                       'config_hash': None, 'train_split': None, 'test_split': None,
                       'seconds': sum(row['seconds'] for row in folds),
                       'feature_seconds': sum(row['feature_seconds'] for row in folds)})
    return pooled
