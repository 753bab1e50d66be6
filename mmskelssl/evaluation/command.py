"""What ``tools/evaluate.py`` and ``tools/test.py`` do: checkpoints in, ``results.json`` and a table out."""
import json
import os.path as osp
from collections.abc import Sequence

import torch
from torch import nn

from mmskelssl.datasets.store import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_backbone
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_dataset, build_model
from mmskelssl.errors import UserError
from mmskelssl.evaluation.linear import RECIPES
from mmskelssl.evaluation.protocols import DEFAULT_RECIPES, KNN_RECIPES, FeatureBank, evaluate_encoder, parse_pairs
from mmskelssl.evaluation.results import print_table, write_results
from mmskelssl.layouts import get_layout


def evaluate_checkpoints(paths: Sequence[str], protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         **options) -> list[dict]:
    """Measure checkpoints that describe their model; options as in :class:`_Command`."""
    import_plugins(imports)
    command = _Command(protocols, out, **options)
    encoders = [(path, *build_from_checkpoint(path)) for path in paths]  # all first: a bad one costs no waiting
    for path, model, info in encoders:
        command.add(path, model, info)
    return command.finish()


def evaluate_with_config(config: str, path: str, protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         **options) -> list[dict]:
    """Measure a checkpoint whose model and data a config describes."""
    import_plugins(imports)
    from mmskelssl.engine.config import complete, load_config
    cfg = complete(load_config(config)[-1][1], seed=0)
    info = next(hook for hook in cfg.custom_hooks if hook['type'] == 'RunInfoHook')
    info = {**info, 'model': json.loads(info['model']), 'dataset': json.loads(info['dataset'])}
    model = build_model(info['model'], config)
    checkpoint = load_backbone(model, path)
    trained = (checkpoint.get('meta') or {}).get('mmskelssl') or {}
    info.update({key: trained[key] for key in ('config_hash', 'method', 'seed', 'epoch') if key in trained})
    command = _Command(protocols, out, **options)
    command.add(path, model, info)
    return command.finish()


class _Command:
    """Collects rows over encoders.

    Args:
        protocols: ``knn``, ``linear``.
        out: Folder of results.json.
        data: Store, instead of the one in the checkpoint.
        recipes: Names of either protocol; default both's defaults.
        pairs: ``train:test`` texts.
        untrained: Measure each distinct architecture also as it is initialised.
    """

    def __init__(self, protocols, out, data=None, recipes=None, pairs=None, untrained=False, seed=0, batch_size=256,
                 device=None):
        self.protocols, self.out, self.data, self.pairs = protocols, out, data, pairs
        self.untrained, self.seed, self.batch_size = untrained, seed, batch_size
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        known = {'knn': KNN_RECIPES, 'linear': RECIPES}
        self.recipes = {p: [r for r in recipes if r in known[p]] if recipes else DEFAULT_RECIPES[p] for p in protocols}
        self.protocols = [p for p in protocols if self.recipes[p]]
        if not self.protocols:
            raise UserError(f'--recipe {" ".join(recipes)}: not of the protocol {", ".join(protocols)}; '
                            f'choose among {", ".join(r for p in protocols for r in known[p])}')
        self.rows, self.seen, self.config_hash, self.data_hash = [], set(), None, None

    def add(self, path: str, model: nn.Module, info: dict) -> None:
        """Measure one encoder, and before it its untrained self where that is wanted and new."""
        dataset = info.get('dataset') or {}
        path_of_store = self.data or dataset.get('store')
        if not path_of_store:
            raise UserError(f'{path}: does not name its data; add --data STORE')
        store = SkeletonStore(path_of_store)
        trained_on = get_layout(dataset.get('layout', store.layout))
        if trained_on != store.layout:
            raise UserError(f'{path_of_store} has layout {store.layout.name!r}, but {path} was trained on '
                            f'{trained_on.name!r}; choose another store')
        if not self.data and dataset.get('data_hash', store.data_hash) != store.data_hash:
            print(f'note: {path_of_store} has changed since {path} was trained on it')
        self.config_hash, self.data_hash = info.get('config_hash'), store.data_hash
        pairs = parse_pairs(self.pairs, store.splits)
        method = info.get('method') or info['model']['type']
        identity = dict(encoder=method, method=method, backbone=info['model']['backbone']['type'],
                        data=osp.basename(osp.abspath(path_of_store)), stream=info.get('stream', 'joint'),
                        epoch=info.get('epoch'), pretrain_seed=info.get('seed'),
                        config_hash=info.get('config_hash'), checkpoint=path)

        def make_dataset(split: str):
            return build_dataset({**dataset, 'store': path_of_store}, split, path)

        def measure(encoder, who):
            encoder.to(self.device)
            bank = FeatureBank(encoder, make_dataset, self.batch_size)
            self.rows += evaluate_encoder(bank, pairs, self.protocols, who, self.recipes, self.seed)

        # Methods that share an encoder share its untrained self: views matter in training only.
        parts = {key: info['model'].get(key) for key in ('backbone', 'pooling', 'data_preprocessor')}
        parts['data_preprocessor'] = {**(parts['data_preprocessor'] or {}), 'views': None}
        architecture = json.dumps([path_of_store, parts, dataset['pipeline'], info.get('seed')], sort_keys=True)
        if self.untrained and architecture not in self.seen:
            self.seen.add(architecture)
            fresh = build_model(info['model'], path, seed=info.get('seed') or 0)
            measure(fresh, {**identity, 'encoder': 'untrained', 'epoch': 0, 'checkpoint': None})
        measure(model, identity)

    def finish(self) -> list[dict]:
        """Write results.json, print the table."""
        path = osp.join(self.out, 'results.json')
        write_results(path, self.rows, self.config_hash, self.data_hash)
        print_table(self.rows)
        print(path)
        return self.rows
