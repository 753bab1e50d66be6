"""What ``tools/evaluate.py`` and ``tools/test.py`` do: checkpoints in, ``results.json``, scores and a table out."""
import json
import os.path as osp
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from mmskelssl.commands.output import Output
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_backbone
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_dataset, build_model
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import HELD_OUT, choose_weights, fixed_weights, fuse, group, member_name
from mmskelssl.evaluation.features import FeatureBank
from mmskelssl.evaluation.protocols import PROTOCOLS, measure, measure_encoder, recipes_of, tasks
from mmskelssl.evaluation.scores import Scores, load_scores
from mmskelssl.evaluation.splits import parse_pairs, subset
from mmskelssl.layouts import get_layout

# What the members of an ensemble have in common.
_ALIKE = ('split', 'train_split', 'test_split', 'protocol', 'recipe', 'label_fraction')


def evaluate_checkpoints(paths: Sequence[str], protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         names: Sequence[str] = (), **options) -> list[dict]:
    """Measure checkpoints that describe their model; options as in :class:`_Command`.

    Args:
        names: What the encoders are called in tables; default the names of their methods.
    """
    if names and (len(names) != len(paths) or len(set(names)) < len(names)):
        raise UserError(f'--names: {len(names)} for {len(paths)} checkpoints; give each one a name of its own')
    import_plugins(imports)
    command = _Command(protocols, out, **options)
    for path, name in zip(paths, names or [None] * len(paths), strict=True):  # all first: a bad one costs no waiting
        command.add(path, *build_from_checkpoint(path), name)
    return command.finish()


def evaluate_with_config(config: str, path: str, protocols: Sequence[str], out: str, imports: Sequence[str] = (),
                         cfg_options: dict | None = None, **options) -> list[dict]:
    """Measure a checkpoint whose model and data a config describes; options as in :class:`_Command`."""
    import_plugins(imports)
    from mmskelssl.engine.config import complete, load_config
    cfg = load_config(config, cfg_options)[-1][1]
    if options.get('data'):
        cfg.data.store = options['data']
    cfg, spec = complete(cfg)
    info = {**spec.meta(), 'model': spec.model, 'dataset': spec.dataset}
    model = build_model(info['model'], config)
    checkpoint = load_backbone(model, path)
    trained = (checkpoint.get('meta') or {}).get('mmskelssl') or {}
    if trained.get('stream', info['stream']) != info['stream']:
        raise UserError(f'{path} was trained on the {trained["stream"]} stream, and {config} has {info["stream"]}: add '
                        f'--cfg-options model.data_preprocessor.stream={trained["stream"]}')
    info.update({key: trained[key] for key in ('config_hash', 'method', 'seed', 'epoch') if key in trained})
    command = _Command(protocols, out, **options)
    command.add(path, model, info)
    return command.finish()


def transfer_checkpoints(paths: Sequence[str], out: str, data: str | None, protocols=('linear', 'finetune'),
                         **options) -> list[dict]:
    """Linear probes and fine-tuning on another store than the one that the encoders were pre-trained on."""
    if not data:
        raise UserError('transfer needs the other store: add --data STORE')
    return evaluate_checkpoints(paths, protocols, out, data=data, another=True, **options)


def ensemble_checkpoints(paths: Sequence[str], out: str, weights: str = 'equal', protocols=('linear',),
                         **options) -> list[dict]:
    """Measure checkpoints, and their scores joined by sample id; or join files of scores."""
    if len(paths) < 2:
        raise UserError('an ensemble needs two or more members')
    files = [path for path in paths if path.endswith('.npz')]
    if not files:
        return evaluate_checkpoints(paths, protocols, out, fusion=weights, **options)
    if len(files) < len(paths):
        raise UserError('an ensemble is either of checkpoints or of files of scores')
    if weights == 'validation':
        raise UserError('--weights validation fits the probes again: give the checkpoints, not their scores')
    members = []
    for path in files:
        scores = load_scores(path)
        name = osp.splitext(osp.basename(path))[0]
        row = dict(encoder=name, method=name, data='', split='test', stream='joint', protocol='ensemble', recipe='file',
                   epoch=None, label_fraction=1.0, seed=None)
        members.append(replace(scores, row={**row, **scores.row, 'checkpoint': path}))
    output = Output(out)
    output.add_ensemble(fuse(members, fixed_weights(weights, [member.row['stream'] for member in members]), weights))
    return output.finish()


class _Command:
    """Collects encoders, then measures them one by one.

    Args:
        protocols: Of :data:`~mmskelssl.evaluation.protocols.PROTOCOLS`.
        out: Folder of results.json, scores and pictures.
        data: Store, instead of the one in the checkpoint.
        recipes: Names of any protocol; default each one's defaults. A protocol with none of them is left out.
        pairs: ``train:test`` texts.
        untrained: Measure each distinct architecture also as it is initialised.
        another: Refuse the store that an encoder was trained on.
        fusion: Also join the encoders' scores, under these weights.
        earlier: Rows of results.json to keep.
        pictures: Draw confusions.
    """

    def __init__(self, protocols, out, data=None, recipes=None, pairs=None, untrained=False, seed=0, batch_size=256,
                 device=None, another=False, fusion=None, earlier=(), pictures=True):
        self.data, self.pairs, self.another, self.fusion = data, pairs, another, fusion
        self.untrained, self.seed, self.batch_size = untrained, seed, batch_size
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        known = {p: PROTOCOLS[p].RECIPES for p in protocols}
        self.recipes = {p: [r for r in recipes if r in known[p]] if recipes else recipes_of(p) for p in protocols}
        self.protocols = [p for p in protocols if self.recipes[p]]
        if not self.protocols:
            raise UserError(f'--recipe {" ".join(recipes)}: not of the protocol {", ".join(protocols)}; choose among '
                            f'{", ".join(dict.fromkeys(r for p in protocols for r in known[p]))}')
        if fusion == 'validation' and 'semi' in self.protocols:
            raise UserError('--weights validation: the few labels of semi leave none to choose weights on; '
                            'take equal ones')
        self.encoders, self.seen, self.members, self.validation = [], set(), [], []
        self.output = Output(out, earlier, pictures)

    def add(self, path: str, model: nn.Module, info: dict, name: str | None = None) -> None:
        """Check that an encoder and its data go together."""
        dataset = info.get('dataset') or {}
        if 'pipeline' not in dataset:
            raise UserError(f'{path}: does not say how its clips were preprocessed; use python tools/test.py CONFIG '
                            'CKPT')
        path_of_store = self.data or dataset.get('store')
        if not path_of_store:
            raise UserError(f'{path}: does not name its data; add --data STORE')
        store = SkeletonStore(path_of_store)
        trained_on = get_layout(dataset.get('layout', store.layout))
        if trained_on != store.layout:
            raise UserError(f'{path_of_store} has layout {store.layout.name!r}, but {path} was trained on '
                            f'{trained_on.name!r}; choose another store')
        if self.another and dataset.get('data_hash') == store.data_hash:
            raise UserError(f'{path} was pre-trained on {path_of_store} itself; transfer needs another store')
        if not self.data and dataset.get('data_hash', store.data_hash) != store.data_hash:
            print(f'note: {path_of_store} has changed since {path} was trained on it')
        parse_pairs(self.pairs, store.splits)
        self.encoders.append((path, model, store, path_of_store, info, name))

    def finish(self) -> list[dict]:
        """Measure, write, print."""
        if self.fusion not in (None, 'validation'):  # refuse before the work
            fixed_weights(self.fusion, [info.get('stream', 'joint') for *_, info, _ in self.encoders])
        try:
            for encoder in self.encoders:
                self._measure(*encoder)
            if self.fusion:
                self._fuse()
        except BaseException:
            self.output.rescue()
            raise
        return self.output.finish()

    def _measure(self, path, model, store, path_of_store, info, called) -> None:
        """Measure one encoder, and before it its untrained self where that is wanted and new."""
        dataset = info.get('dataset') or {}
        self.output.provenance(info.get('config_hash'), store.data_hash)
        pairs = parse_pairs(self.pairs, store.splits)
        method = info.get('method') or info['model']['type']
        name = osp.basename(osp.abspath(path_of_store))
        identity = dict(encoder=called or method, method=method, backbone=info['model']['backbone']['type'], data=name,
                        stream=info.get('stream', 'joint'), epoch=info.get('epoch'), pretrain_seed=info.get('seed'),
                        pretrain_data=osp.basename(osp.abspath(dataset.get('store') or path_of_store)),
                        config_hash=info.get('config_hash'), checkpoint=path)

        def make_dataset(split: str):
            return build_dataset({**dataset, 'store': path_of_store}, split, path)

        def measure_one(encoder, who):
            bank = FeatureBank(encoder.to(self.device), make_dataset, self.batch_size)
            for measured in measure_encoder(bank, pairs, self.protocols, who, self.recipes, self.seed):
                kept = self.output.add(measured, store.classes, bank.num_classes)
                self.members += [kept] if self.fusion and kept else []
            if self.fusion == 'validation':
                self.validation += self._held_out(bank, pairs, who)

        # Methods that share an encoder share its untrained self: views matter in training only.
        parts = {key: info['model'].get(key) for key in ('backbone', 'pooling', 'data_preprocessor')}
        parts['data_preprocessor'] = {**(parts['data_preprocessor'] or {}), 'views': None}
        architecture = json.dumps([path_of_store, parts, dataset['pipeline'], info.get('seed')], sort_keys=True)
        if self.untrained and architecture not in self.seen:
            self.seen.add(architecture)
            fresh = build_model(info['model'], path, seed=info.get('seed') or 0)
            measure_one(fresh, {**identity, 'encoder': 'untrained', 'epoch': 0, 'checkpoint': None})
        measure_one(model, identity)

    def _held_out(self, bank, pairs, who) -> list[Scores]:
        """Scores of a part of the training clips, from probes that have not seen them."""
        made = []
        for task, alike in tasks(bank, pairs, self.seed):
            held_out = task.held_out(subset(task.train.ids, task.train.labels, HELD_OUT, self.seed))
            for protocol in self.protocols:
                made += [Scores(m.test.ids, m.scores, m.test.labels,
                                {**who, **m.row, 'train_split': alike[0].train})
                         for m in measure(held_out, protocol, self.recipes[protocol]) if m.scores is not None]
        return made

    def _fuse(self) -> None:
        for trained in (False, True):
            members = [m for m in self.members if (m.row['encoder'] != 'untrained') == trained]
            for some in group(members, _ALIKE):
                if len(some) < len(self.encoders):
                    continue  # untrained selves that methods share
                weights = self._weights(some)
                self.output.add_ensemble(fuse(some, weights, self.fusion))

    def _weights(self, members: Sequence[Scores]):
        rows = [member.row for member in members]
        if self.fusion != 'validation':
            return fixed_weights(self.fusion, [row['stream'] for row in rows])
        keys = ('encoder', 'stream', 'checkpoint', 'train_split', 'protocol', 'recipe', 'label_fraction')
        found = {tuple(scores.row[key] for key in keys): scores for scores in self.validation}
        return choose_weights([found[tuple(row[key] for key in keys)] for row in rows], [*map(member_name, rows)])
