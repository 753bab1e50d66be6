"""Pre-train and measure one config over splits, streams and seeds; folds are pooled into one row."""
import json
import os.path as osp
from collections.abc import Sequence

import numpy as np

from mmskelssl.engine.config import load_config, split_pair
from mmskelssl.engine.train import checkpoints, train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.command import evaluate_checkpoints
from mmskelssl.evaluation.metrics import bootstrap_interval
from mmskelssl.evaluation.results import print_table, write_results


def benchmark(config: str, out: str, splits: Sequence[str] = (), streams: Sequence[str] = ('joint',),
              seeds: Sequence[int] = (0,), protocols: Sequence[str] = ('knn', 'linear'),
              cfg_options: dict | None = None, imports: Sequence[str] = ()) -> list[dict]:
    """Train and evaluate every combination, each stage by itself; what is there already is not done again.

    Args:
        out: Folder; each run has a subfolder of its own, ``results.json`` at the top holds all rows.
        splits: Values of ``data.split``; default the config's. Several are taken for folds: their test parts are
            pooled.

    Returns:
        All rows.
    """
    rows, hashes = [], set()
    for stream in streams:
        for seed in seeds:
            for split in splits or [None]:
                name = '_'.join(str(part) for part in (split, stream, f'seed{seed}') if part)
                rows += _run(config, osp.join(out, name), split, stream, seed, protocols, cfg_options or {}, imports,
                             hashes)
    rows = pool_folds(rows) if len(splits) > 1 else rows
    # One hash each, or none where runs differ; the rows have their own.
    config_hash, data_hash = (values.pop() if len(values) == 1 else None
                              for values in ({h for h, _ in hashes}, {h for _, h in hashes}))
    write_results(out, rows, config_hash, data_hash)
    print_table(rows)
    return rows


def _run(config, folder, split, stream, seed, protocols, options, imports, hashes) -> list[dict]:
    file = osp.join(folder, 'results.json')
    if not osp.isfile(file):
        options = {**options, 'model.data_preprocessor.stream': stream, **({'data.split': split} if split else {})}
        train(config, folder, resume='auto', seed=seed, cfg_options=options)
        names = [name for name, _ in load_config(config)]
        ends = [checkpoints(osp.join(folder, name) if len(names) > 1 else folder)[-1] for name in names]
        pairs = [':'.join(split_pair(split))] if split else None
        evaluate_checkpoints(ends, protocols, folder, imports=imports, pairs=pairs, untrained=True, seed=seed)
    with open(file, encoding='utf-8') as stream_:
        content = json.load(stream_)
    hashes.add((content['config_hash'], content['data_hash']))
    return content['results']


def pool_folds(rows: Sequence[dict]) -> list[dict]:
    """One row for the folds of each encoder and recipe: every test sample counts once.

    Accuracies are weighted by the folds' test samples; the interval is that of all samples together.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row.get(name) for name in ('encoder', 'method', 'stream', 'pretrain_seed', 'protocol', 'recipe'))
        groups.setdefault(key, []).append(row)
    pooled = []
    for folds in groups.values():
        if len({row['split'] for row in folds}) != len(folds):
            raise UserError(f'{folds[0]["encoder"]}: a fold stands twice among {[row["split"] for row in folds]}')
        counts = np.array([row['num_test'] for row in folds])

        def mean(name, folds=folds, counts=counts):
            values = [row[name] for row in folds]
            return None if None in values else float(np.average(values, weights=counts))

        hits = round(mean('top1') * counts.sum() / 100)
        correct = np.arange(counts.sum()) < hits
        pooled.append({**folds[0], **{name: mean(name) for name in ('top1', 'top5', 'mean_class')},
                       'ci95': bootstrap_interval(correct), 'split': f'{len(folds)} folds', 'checkpoint': None,
                       'folds': {row['split']: row['top1'] for row in folds}, 'num_test': int(counts.sum()),
                       'num_train': int(np.mean([row['num_train'] for row in folds])),
                       'config_hash': None, 'train_split': None, 'test_split': None,
                       'seconds': sum(row['seconds'] for row in folds),
                       'feature_seconds': sum(row['feature_seconds'] for row in folds)})
    return pooled
