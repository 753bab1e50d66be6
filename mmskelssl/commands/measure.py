"""Implements ``evaluate`` and ``test``, which measure checkpoints and write ``results.json``, scores and a table."""
import json
import os.path as osp
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.dist import is_main_process

from mmskelssl.catalogue import Catalogue
from mmskelssl.commands.arguments import refuse_twice
from mmskelssl.commands.benchmark_rows import pool_folds
from mmskelssl.commands.output import Output
from mmskelssl.commands.score_files import fuse_files
from mmskelssl.datasets.skeleton_dataset import about_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import load_backbone
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import (
    HELD_OUT,
    choose_weights,
    fixed_weights,
    fuse,
    group,
    member_name,
    parse_weights,
)
from mmskelssl.evaluation.features import FeatureBank, usable_device
from mmskelssl.evaluation.processes import together
from mmskelssl.evaluation.protocols import PROTOCOLS, measure, measure_encoder, recipes_of, tasks
from mmskelssl.evaluation.scores import Scores
from mmskelssl.evaluation.splits import SplitPair, is_fold, parse_pairs, subset
from mmskelssl.inference.encoder import Encoder, move_to, pair_with_data
from mmskelssl.inference.pools import pool_of
from mmskelssl.inference.saved.read import read_encoder
from mmskelssl.models.checks import check_seed

# Keys that all members of an ensemble share.
_ALIKE = ('data', 'data_hash', 'split', 'train_split', 'test_split', 'protocol', 'recipe', 'label_fraction')


def evaluate_checkpoints(paths: Sequence[str], protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         names: Sequence[str] = (), **options) -> list[dict]:
    """Measure checkpoints that describe their model. Options are those of :class:`Measurement`.

    Args:
        paths: Checkpoints, folders of saved encoders, or ``zoo/NAME``.
        names: Names of the encoders in tables. Default: the names of their methods. Runs of different seeds may share
            a name. Tables of several seeds show their mean.
    """
    if names and len(names) != len(paths):
        raise UserError(f'--names: {len(names)} for {len(paths)} checkpoints; give one for each')
    if 'untrained' in names or not all(map(str.strip, names)):
        raise UserError("--names: choose names that are not empty, and not 'untrained', which tables call an encoder "
                        'before its training')
    refuse_twice(paths)
    import_plugins(imports)
    measurement = Measurement(protocols, out, **options)
    called: Sequence[str | None] = names or [None] * len(paths)
    taken: dict[tuple, str] = {}
    for path, name in zip(paths, called, strict=True):  # all first, so that a bad one is reported immediately
        model, info = read_encoder(path)
        if name and (other := taken.setdefault((name, info.get('seed')), path)) is not path:
            raise UserError(f'--names: {other} and {path} are both called {name!r}, and both have seed '
                            f'{info.get("seed")}; only runs of different seeds may share a name')
        measurement.add(path, model, info, name)
    return measurement.run()


def evaluate_with_config(config: str, path: str, protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         cfg_options: dict | None = None, **options) -> list[dict]:
    """Measure a checkpoint whose model and data a config describes. Options are those of :class:`Measurement`."""
    import_plugins(imports)
    from mmskelssl.engine.config import complete, load_config
    from mmskelssl.engine.pool_config import is_pool
    cfg = load_config(config, cfg_options)[-1][1]
    if options.get('data') and not is_pool(cfg.data):
        cfg.data.store = options['data']
    cfg, spec = complete(cfg)
    info = {**spec.meta(), 'model': spec.model, 'dataset': spec.dataset}
    model = build_model(info['model'], config)
    checkpoint = load_backbone(model, path)
    trained = (checkpoint.get('meta') or {}).get('mmskelssl') or {}
    if trained.get('stream', info['stream']) != info['stream']:
        raise UserError(f'{path} was trained on the {trained["stream"]} stream, and {config} has {info["stream"]}: add '
                        f'--cfg-options model.data_preprocessor.stream={trained["stream"]}')
    info.update({key: trained[key] for key in ('config_hash', 'method', 'seed', 'epoch', 'command') if key in trained})
    measurement = Measurement(protocols, out, **options)
    measurement.add(path, model, info)
    return measurement.run()


def transfer_checkpoints(paths: Sequence[str], out: str, data: str | None, protocols=('linear', 'finetune'),
                         **options) -> list[dict]:
    """Run linear probes and fine-tuning on a store other than the one used for pre-training."""
    if not data:
        raise UserError('transfer needs the other store: add --data STORE')
    return evaluate_checkpoints(paths, protocols, out, data=data, another=True, **options)


def ensemble_checkpoints(paths: Sequence[str], out: str, weights: str = 'equal', protocols=('linear',),
                         **options) -> list[dict]:
    """Measure checkpoints and fuse their scores by sample id, or fuse files of scores.

    Args:
        weights: See :func:`~mmskelssl.evaluation.ensemble.parse_weights`.
    """
    weights = parse_weights(weights)
    if len(paths) < 2:
        raise UserError('an ensemble needs two or more members')
    files = [path for path in paths if path.endswith('.npz')]
    if not files:
        chosen = choose_recipes(protocols, options.get('recipes'))
        if without := [protocol for protocol in protocols if protocol not in chosen]:
            raise UserError(f'--of {without[0]}: it has none of the recipes {" ".join(options["recipes"])}; add one, '
                            'or leave it out')
        return evaluate_checkpoints(paths, protocols, out, fusion=weights, **options)
    if len(files) < len(paths):
        raise UserError('an ensemble is either of checkpoints or of files of scores')
    return fuse_files(files, out, weights, protocols, options)


@dataclass
class Measurement:
    """Collects encoders and then measures them one after another.

    Args:
        protocols: Names in :data:`~mmskelssl.evaluation.protocols.PROTOCOLS`.
        out: Output folder for results.json, scores and pictures.
        data: Store to use instead of the one in the checkpoint.
        recipes: Names of recipes of any protocol. Default: the defaults of each protocol for the data. Protocols
            without any of the named recipes are left out.
        pairs: Pairs of splits as ``train:test`` strings.
        untrained: Also measure each distinct architecture at its initialisation.
        seed: Seed of the probes and of the label subsets.
        batch_size: Batch size of feature extraction. It does not change any result.
        device: Default: the GPU if there is one.
        another: Refuse the store that an encoder was trained on.
        fusion: Also fuse the scores of the encoders with these weights.
        pictures: Whether to draw confusion matrices.
    """
    protocols: Sequence[str]
    out: str
    data: str | None = None
    recipes: Sequence[str] | None = None
    pairs: Sequence[str] | None = None
    untrained: bool = False
    seed: int = 0
    batch_size: int = 256
    device: str | torch.device | None = None
    another: bool = False
    fusion: str | None = None
    pictures: bool = True
    encoders: list[Encoder] = field(default_factory=list, init=False)
    _seen: set[str] = field(default_factory=set, init=False)  # architectures whose untrained encoder was measured
    _seen_tests: bool = field(default=False, init=False)  # an encoder was pre-trained on test clips of folds
    _members: list[Scores] = field(default_factory=list, init=False)
    _unranked: dict[tuple, None] = field(default_factory=dict, init=False)  # recipes without scores
    _validation: list[Scores] = field(default_factory=list, init=False)

    def __post_init__(self):
        self.device = usable_device(self.device)  # refuse an unusable device early
        check_seed('--seed', self.seed)
        self.chosen = choose_recipes(self.protocols, self.recipes)
        if self.fusion:
            for protocol in self.chosen:
                if not getattr(PROTOCOLS[protocol], 'SCORED', True):
                    raise UserError(f'--of {protocol}: its scores cannot be fused')
        if self.fusion == 'validation' and 'semi' in self.chosen:
            raise UserError('--weights validation: the few labels of semi leave none to choose weights on; '
                            'take equal ones')
        self.output = Output(self.out, self.pictures)  # only the first process writes

    def add(self, path: str, model, info: dict, name: str | None = None) -> None:
        """Add an encoder to measure.

        An encoder that was trained on several stores is measured on each of them that has labels and a pair of splits.

        Raises:
            UserError: If the encoder does not match its data.
        """
        if self.data is None and (pool := pool_of(info)):
            for store, entry in pool.items():
                if reason := _not_measured(entry, self.pairs):
                    print(f'note: {store} is not measured: {reason}')
                else:
                    self._add(path, model, info, entry.get('store') or store, name)
        else:
            self._add(path, model, info, self.data, name)

    def _add(self, path: str, model, info: dict, data: str | None, name: str | None) -> None:
        encoder = pair_with_data(path, model, info, data, name)
        info = encoder.info
        if self.another and about_data(info.get('dataset') or {}).get('data_hash') == encoder.store.data_hash:
            raise UserError(f'{path} was pre-trained on {encoder.store.path} itself; transfer needs another store')
        parse_pairs(self.pairs, encoder.store.splits)
        self.encoders.append(encoder)

    def run(self) -> list[dict]:
        """Measure all encoders, write and print the results, and return the rows of results.json.

        The processes of a launcher share the work, and the first one writes. The others return no rows.
        """
        if self.fusion:
            self._check_members()
        if self.fusion not in (None, 'validation'):  # refuse unknown streams early
            fixed_weights(self.fusion, [encoder.stream for encoder in self.encoders])
        try:
            with together():
                for encoder in self.encoders:
                    self._measure(encoder)
            if self.fusion and is_main_process():
                self._fuse()
        except BaseException:
            if is_main_process():
                self.output.rescue()
            raise
        return self.output.finish() if is_main_process() else []

    def _check_members(self) -> None:
        """Raise if no two encoders are measured on the same store."""
        if all(self._on(encoder.data, encoder.store.data_hash) < 2 for encoder in self.encoders):
            raise UserError('an ensemble needs scores of the same clips, but its members are measured on '
                            f'{", ".join(dict.fromkeys(encoder.store.path for encoder in self.encoders)) or "no store"}'
                            ': add --data STORE')

    def _on(self, data: str, data_hash: str) -> int:
        """Return how many encoders are measured on a store."""
        return sum((encoder.data, encoder.store.data_hash) == (data, data_hash) for encoder in self.encoders)

    def _measure(self, encoder: Encoder) -> None:
        """Measure one encoder, preceded by its untrained version if this is requested and not yet measured."""
        info, store = encoder.info, encoder.store
        self.output.provenance(info.get('config_hash'), store.data_hash)
        identity = dict(encoder=encoder.name or encoder.method, method=encoder.method,
                        backbone=info['model']['backbone']['type'], data=encoder.data, stream=encoder.stream,
                        epoch=info.get('epoch'), pretrain_seed=info.get('seed'),
                        pretrain_data=_pretrain_data(info, store.path),
                        pretrain_command=info.get('command'), config_hash=info.get('config_hash'),
                        checkpoint=encoder.path)
        if self.untrained and (architecture := _architecture(encoder)) not in self._seen:
            self._seen.add(architecture)
            fresh = build_model(info['model'], encoder.path, seed=info.get('seed') or 0)
            self._measure_one(encoder, fresh, {**identity, 'encoder': 'untrained', 'epoch': 0, 'checkpoint': None})
        self._measure_one(encoder, encoder.model, identity)

    def _measure_one(self, encoder: Encoder, model, identity: dict) -> None:
        bank = FeatureBank(move_to(model, self.device), encoder.dataset, self.batch_size)
        pairs = parse_pairs(self.pairs, encoder.store.splits)
        chosen = self._chosen_for(encoder)
        start = len(self.output.rows)
        for measured in measure_encoder(bank, pairs, list(chosen), identity, chosen, self.seed):
            kept = self.output.add(measured, encoder.store.classes, bank.num_classes) if is_main_process() else None
            if self.fusion and kept:
                self._members.append(kept)
            elif self.fusion:
                self._unranked[measured.row['protocol'], measured.row['recipe']] = None
        self._pool(start, identity['encoder'] != 'untrained' and self._saw_tests(encoder, pairs))
        if self.fusion == 'validation':
            self._validation += self._held_out(bank, pairs, identity, chosen)

    def _pool(self, start: int, seen: bool = False) -> None:
        """Add rows over all folds to the rows from ``start`` on, unless test clips were seen in pre-training."""
        folds = [row for row in self.output.rows[start:] if is_fold(row['split'])]
        names = {row['split'] for row in folds}
        if len(names) < 2:
            return
        if len({(row['train_split'], row['split']) for row in folds}) > len(names):
            print('note: no row over all folds, because a fold is measured with several training splits')
        elif seen:
            print(f'note: no row over all folds, because {folds[0]["encoder"]} was pre-trained on test clips of some; '
                  'train one encoder for each fold, with `benchmark --splits`')
        else:
            self.output.rows += pool_folds(folds)

    def _saw_tests(self, encoder: Encoder, pairs: Sequence[SplitPair]) -> bool:
        """Return whether an encoder was pre-trained on test clips of folds, and remember it for its ensembles."""
        trained = encoder.trained_on()
        seen = any(np.isin(encoder.store.split(pair.test), trained).any() for pair in pairs if is_fold(pair.name))
        self._seen_tests |= seen
        return seen

    def _chosen_for(self, encoder: Encoder) -> dict[str, list[str]]:
        """Return the recipes of each protocol. The defaults depend on the data."""
        return self.chosen if self.recipes else choose_recipes(self.protocols, None, encoder.data)

    def _held_out(self, bank: FeatureBank, pairs, identity: dict, chosen: dict[str, list[str]]) -> list[Scores]:
        """Return scores of held-out training clips from probes that were not trained on them."""
        made = []
        for task, alike in tasks(bank, pairs, self.seed):
            rows = subset(task.train.ids, task.train.labels, HELD_OUT, self.seed)
            if len(rows) == len(task.train):
                raise UserError(f'--weights validation: each class of {alike[0].train} has one training clip, so none '
                                'is left to choose weights on; take equal ones')
            held_out = task.held_out(rows)
            for protocol, recipes in chosen.items():
                made += [Scores(m.test.ids, m.scores, m.test.labels,
                                {**identity, **m.row, 'train_split': alike[0].train})
                         for m in measure(held_out, protocol, recipes) if m.scores is not None]
        return made

    def _fuse(self) -> None:
        assert self.fusion is not None  # as `run` has seen
        for protocol, recipe in self._unranked:
            print(f'note: {protocol} {recipe} does not rank the classes, so there is no ensemble of it')
        for encoder in self.encoders:
            if self._on(encoder.data, encoder.store.data_hash) < 2:
                print(f'note: only {encoder.path} is measured on {encoder.store.path}, so there is no ensemble on it')
        for trained in (False, True):
            members = [m for m in self._members if (m.row['encoder'] != 'untrained') == trained]
            start = len(self.output.rows)
            for some in group(members, _ALIKE):
                if len(some) < max(self._on(some[0].row['data'], some[0].row['data_hash']), 2):
                    continue  # untrained encoders that several methods share, or the only encoder of a store
                weights = self._weights(some)
                self.output.add_ensemble(fuse(some, weights, self.fusion))
            self._pool(start, trained and self._seen_tests)

    def _weights(self, members: Sequence[Scores]):
        assert self.fusion is not None  # as `run` has seen
        rows = [member.row for member in members]
        if self.fusion != 'validation':
            return fixed_weights(self.fusion, [row['stream'] for row in rows])
        # Untrained encoders have no checkpoint. Their run and its seed tell them apart.
        keys = ('encoder', 'data', 'stream', 'checkpoint', 'config_hash', 'pretrain_seed', 'train_split', 'protocol',
                'recipe', 'label_fraction')
        found = {tuple(scores.row[key] for key in keys): scores for scores in self._validation}
        return choose_weights([found[tuple(row[key] for key in keys)] for row in rows], [*map(member_name, rows)])


def choose_recipes(protocols: Sequence[str], names: Sequence[str] | None,
                   data: str | None = None) -> dict[str, list[str]]:
    """Return a dict from protocol to its recipes among ``names``, or to its default recipes for ``data`` without names.

    Names are canonical (:mod:`mmskelssl.evaluation.recipe_names`). Changed settings apply to every protocol that has
    the recipe. Protocols without any of the named recipes are left out.

    Raises:
        UserError: If a recipe is unknown, a change to its settings is wrong, or no protocol has a recipe.
    """
    if not names:
        return {protocol: recipes_of(protocol, data=data) for protocol in protocols}
    known = {protocol: PROTOCOLS[protocol].RECIPES for protocol in protocols}
    for name in names:
        if not any(name in protocol.RECIPES for protocol in PROTOCOLS.values()):
            every = Catalogue('recipe', {name: None for protocol in PROTOCOLS.values() for name in protocol.RECIPES})
            every[name.partition(':')[0]]  # raises with the closest names
    chosen = {protocol: [name for name in names if name in known[protocol]] for protocol in protocols}
    chosen = {protocol: recipes_of(protocol, some) for protocol, some in chosen.items() if some}
    unused = [name for name in names if not any(name in recipes for recipes in known.values())]
    if unused:
        raise UserError(f'--recipe {" ".join(unused)}: not of the protocol {", ".join(protocols)}; choose among '
                        f'{", ".join(dict.fromkeys(name for recipes in known.values() for name in recipes))}')
    return chosen


def _not_measured(entry: dict, pairs: Sequence[str] | None) -> str | None:
    """Return why a store of a pool cannot be measured, or None."""
    if not entry.get('store'):
        return 'the model does not say where it is; name it with --data'
    store = SkeletonStore(entry['store'])
    if (store.labels < 0).all():
        return 'it has no labels'
    try:
        parse_pairs(pairs, store.splits)
    except UserError as error:
        return str(error)
    return None


def _pretrain_data(info: dict, path: str) -> str:
    """Return the name of the store that an encoder was trained on, or the names of several."""
    if names := about_data(info['dataset']).get('pool'):
        return '+'.join(names)
    return osp.basename(osp.abspath(info['dataset'].get('store') or path))


def _architecture(encoder: Encoder) -> str:
    """Return what an untrained encoder depends on. Methods share it, because views only matter in training."""
    model = encoder.info['model']
    parts = {key: model.get(key) for key in ('backbone', 'pooling', 'concat_persons', 'data_preprocessor')}
    parts['data_preprocessor'] = {**(parts['data_preprocessor'] or {}), 'views': None}
    return json.dumps([encoder.store.path, parts, encoder.info['dataset']['pipeline'], encoder.info.get('seed')],
                      sort_keys=True)
