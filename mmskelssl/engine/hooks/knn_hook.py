"""Monitors during training whether the encoder learns or collapses."""
import copy
import math
from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmskelssl.datasets.skeleton_dataset import dataset_config
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.collapse import MAX_COSINE, MIN_STD, features_alike, views_lost
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import FeatureBank, Features, extract_features
from mmskelssl.evaluation.knn import knn_scores
from mmskelssl.evaluation.lineage_knn import Embeddings, lineage_knn
from mmskelssl.evaluation.metrics import accuracies
from mmskelssl.evaluation.processes import first_buffers, together
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.checks import check_integer, check_number, check_switch
from mmskelssl.models.monitors import effective_rank, feature_std, in_batch_top1, mean_cosine
from mmskelssl.models.pool_preprocessor import PoolPreprocessor, narrowed
from mmskelssl.registry import DATASETS, HOOKS

_CLIPS = 256  # enough for the monitors that compare views and for stores without a test split


@HOOKS.register_module()
class KNNHook(Hook):
    """Logs the nearest-neighbour accuracy, spread and rank of the features, and warns when they collapse.

    Features are measured before the first step (the initial encoder), every ``interval`` epochs or iterations, and
    after the last step. The hook logs these curves over the iteration: ``val/knn_top1`` (1 neighbour),
    ``val/knn20_top1`` (20 neighbours, and so on for every ``k``), ``val/feature_std``, ``val/mean_cosine``,
    ``val/effective_rank``, and ``val/batch_top1``, which is how often a clip finds its own second view in a batch. Only
    the neighbour curves need labels. The loss alone is misleading: it also falls when all clips become alike.

    Without a test split (``test_split`` None) the neighbour curves are left out. The others are measured on the clips
    that ``held_out`` keeps out of training, or on training clips if nothing is held out.

    A run on several stores has these curves for each of them, as in ``val/nwucla/knn_top1``.

    Args:
        evaluation: ``dict(store, pipeline, train_split, test_split, held_out)``, plus ``type`` and arguments for a
            custom data set class. Default: the config's ``evaluation``. ``dict(stores={NAME: dict(...)})`` names
            several stores.
        interval: Epochs between two measurements, or iterations with ``by_epoch=False``.
        k: One or more numbers of neighbours. Each has its own curve. They apply to this run only and do not follow the
            recipes of the published protocols.
        temperature: A neighbour votes with weight exp(cosine / temperature).
        lineage: Also log ``val/lineage_knn10_top1`` (and 20, 40), the accuracies that the code of CrosSCLR, AimCLR,
            ActCLR and SkeAttnCLR logs: nearest neighbours of the normalised embeddings of cropped and sheared clips
            (:func:`~mmskelssl.evaluation.lineage_knn.lineage_knn`). Needs a test split and labels.
        batch_size: Batch size of feature extraction.
        max_bank: Maximum number of clips of the training split, evenly spaced.
        max_cosine, min_std: Thresholds of the alarm.
        patience: Number of consecutive measurements beyond a threshold that raise the alarm. The alarm is also raised
            when the model's ``batch_top1`` stays below twice chance or its ``batch_cosine`` above ``max_cosine``.
    """

    decides_result = False  # observes only

    def __init__(self, evaluation: dict | None = None, interval: int = 10, by_epoch: bool = True,
                 k: int | Sequence[int] = (1, 20), temperature: float = 0.1, lineage: bool = False,
                 batch_size: int = 256, max_bank: int | None = None, max_cosine: float = MAX_COSINE,
                 min_std: float = MIN_STD, patience: int = 3):
        self.k, self.temperature = [k] if isinstance(k, int) else list(k), temperature
        check_integer('KNNHook: interval', interval)
        check_switch('KNNHook: by_epoch', by_epoch)
        check_switch('KNNHook: lineage', lineage)
        check_integer('KNNHook: batch_size', batch_size)
        check_integer('KNNHook: patience', patience)
        check_number('KNNHook: temperature', temperature, above=0)
        check_number('KNNHook: max_cosine', max_cosine)
        check_number('KNNHook: min_std', min_std)
        if max_bank is not None:
            check_integer('KNNHook: max_bank', max_bank)
        if evaluation is not None:
            check_evaluation(evaluation)
        if not self.k or not all(type(number) is int and number >= 1 for number in self.k):
            raise UserError(f'KNNHook: k is {k!r}; it must be one or more numbers of neighbours, such as [1, 20]')
        self.evaluation, self.interval, self.by_epoch, self.batch_size = evaluation, interval, by_epoch, batch_size
        self.lineage = lineage
        self.max_bank, self.max_cosine, self.min_std, self.patience = max_bank, max_cosine, min_std, patience
        self.datasets: dict = {}
        self.reported: set[str] = set()  # stores without a test split
        self.measured_at = -1
        self.strikes = {'features': 0, 'contrast': 0}

    def before_train(self, runner):
        if self.lineage:  # on all processes, before the first of them waits
            self._check_lineage(runner)
        if runner.iter == 0:
            self.measure(runner)
        else:  # a resumed run has already measured the initial encoder
            self.strikes.update(runner.message_hub.runtime_info.get('collapse_strikes', {}))

    def after_train_epoch(self, runner):
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self.measure(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self.measure(runner, runner.iter + 1)

    def after_train(self, runner):
        if self.measured_at != runner.iter:
            self.measure(runner)

    def measure(self, runner, step: int | None = None) -> None:
        """Measure. The processes share the work, and the main process logs the results."""
        self.measured_at = runner.iter if step is None else step
        config = self.evaluation or runner.cfg.get('evaluation')
        if config is None:
            if not self.datasets:
                runner.logger.info('KNNHook: the config has no `evaluation`, so nothing is measured')
                self.datasets['none'] = None
        else:
            stores = config.get('stores') or {'': config}
            curves = {name: self._measure(runner, part, f'val/{name}/' if name else 'val/')
                      for name, part in stores.items()}
            if is_main_process():
                self._alarm(runner, curves)
        barrier()

    def _dataset(self, config, split: str, **part):
        key = config['store'], str(config['pipeline']), split, *part
        if key not in self.datasets:
            self.datasets[key] = DATASETS.build({**dataset_config(config, split), **part})
        return self.datasets[key]

    def _check_lineage(self, runner) -> None:
        Embeddings(_unwrap(runner.model), 0)
        config = self.evaluation or runner.cfg.get('evaluation') or {}
        if config.get('stores'):
            raise UserError('KNNHook: lineage is for runs on one store: set it to False')
        if not config.get('test_split'):
            raise UserError('KNNHook: lineage needs a test split: set it to False')

    def _measure(self, runner, config, prefix: str) -> dict[str, float]:
        """Log the curves of one store, and return them with the prefix ``val/``. Only the main process has them."""
        model, batch = _unwrap(runner.model), runner.train_dataloader.batch_size or 1
        if isinstance(pool := getattr(model, 'data_preprocessor', None), PoolPreprocessor):
            model = narrowed(model, pool.members[SkeletonStore(config['store']).layout.name])
        with together(), first_buffers(model.backbone):
            if config.get('test_split'):
                bank = FeatureBank(model, lambda split: self._dataset(config, split), self.batch_size, progress=False,
                                   max_samples={config['train_split']: self.max_bank})
                train, test = bank[config['train_split']], bank[config['test_split']]
                clips, knn = self._dataset(config, config['test_split']), \
                    self._knn(runner, train, test, bank.num_classes)
            else:
                clips, knn = self._training_clips(runner, config), {}
                test = extract_features(model, clips, self.batch_size, progress=False, indices=_spaced(len(clips)))
        if not is_main_process():
            return {}
        if self.lineage and knn:  # its batches follow each other in one stream of random numbers
            found = lineage_knn(model, lambda split: self._dataset(config, split), config['train_split'],
                                config['test_split'], self.measured_at, self.batch_size, self.max_bank)
            knn.update({f'val/lineage_knn{k}_top1': top1 for k, top1 in found.items()})
        feats = torch.from_numpy(test.feats)
        curves = {'val/feature_std': float(feature_std(feats)), 'val/mean_cosine': float(mean_cosine(feats)),
                  'val/effective_rank': float(effective_rank(feats)),
                  'val/batch_top1': view_top1(model, clips, batch), **knn}
        curves = {name: value for name, value in curves.items() if math.isfinite(value)}
        named = {prefix + name.removeprefix('val/'): value for name, value in curves.items()}
        for name, value in named.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(named, step=self.measured_at)
        text = '  '.join(f'{name.removeprefix("val/")} {value:.3g}' for name, value in curves.items())
        store = prefix.removeprefix('val/').rstrip('/')
        runner.logger.info(f'features{f" of {store}" if store else ""} after {self.measured_at} iterations: {text}')
        return curves

    def _training_clips(self, runner, config):
        held_out = config.get('held_out', 0)
        if config['store'] not in self.reported:
            self.reported.add(config['store'])
            kept = f'{held_out} training clips that are held out' if held_out else 'clips that are trained on'
            runner.logger.info(f'KNNHook: {config["store"]} has no test split; features are measured on {kept}')
        part = dict(held_out=held_out, part='held_out') if held_out else {}
        return self._dataset(config, config['train_split'], **part)

    def _knn(self, runner, train: Features, test: Features, classes: int) -> dict[str, float]:
        if (train.labels < 0).any() or (test.labels < 0).any():
            if self.measured_at == 0:
                runner.logger.info('KNNHook: some clips have no label, so there is no KNN accuracy')
            return {}
        votes = knn_scores(train.feats, train.labels, test.feats, self.k, self.temperature, classes)
        return {f'val/knn{k if k > 1 else ""}_top1': accuracies(test.labels, vote.argmax(1))['top1']
                for k, vote in votes.items()}

    def _alarm(self, runner, curves: dict[str, dict[str, float]]) -> None:
        """Check the curves of each store."""
        if self.measured_at == 0:
            return  # the features of an untrained encoder may well be alike
        found = {name: features_alike(one, self.max_cosine, self.min_std) for name, one in curves.items()}
        alike = [f'{name}: {what}' if name else what for name, what in found.items() if what]
        self._strike(runner, 'features', '; '.join(alike) or None)
        scalars = runner.message_hub.log_scalars
        if 'train/batch_top1' not in scalars:
            return
        top1 = float(scalars['train/batch_top1'].mean(20))
        cosine = float(scalars['train/batch_cosine'].mean(20)) if 'train/batch_cosine' in scalars else 0.0
        self._strike(runner, 'contrast',
                     views_lost(top1, cosine, runner.train_dataloader.batch_size or 1, self.max_cosine))

    def _strike(self, runner, kind: str, what: str | None) -> None:
        self.strikes[kind] = self.strikes[kind] + 1 if what else 0
        runner.message_hub.update_info('collapse_strikes', dict(self.strikes))
        if self.strikes[kind] >= self.patience:
            runner.logger.warning(f'COLLAPSE ALARM: {what}, {self.strikes[kind]} measurements in a row. The loss does '
                                  'not show it. Lower the learning rate, warm up, or raise the key momentum')


def check_evaluation(given) -> None:
    """Raise unless ``evaluation`` of :class:`KNNHook` describes one or several stores."""
    named = given.get('stores') if isinstance(given, Mapping) else None
    for name, part in (named.items() if isinstance(named, Mapping) else [('', given if named is None else None)]):
        where = f'KNNHook: evaluation.stores.{name}' if name else 'KNNHook: evaluation'
        if not isinstance(part, Mapping):
            raise UserError(f'{where} is {given if not name else part!r}; it must be dict(store=..., pipeline=[...], '
                            "train_split='train', test_split='test'), or dict(stores={NAME: dict(...)})")
        missing = [key for key in ('store', 'pipeline', 'train_split') if not part.get(key)]
        if missing:
            raise UserError(f'{where}.{missing[0]} is missing: it names a store, its pipeline, train_split and '
                            'test_split')


def _unwrap(model):
    return model.module if is_model_wrapper(model) else model


def _spaced(count: int) -> list[int]:
    """Return at most ``_CLIPS`` evenly spaced row numbers below ``count``."""
    kept = min(_CLIPS, count)
    return [i * count // kept for i in range(kept)]


@torch.no_grad()
def view_top1(model: SkeletonEncoder, clips, batch_size: int) -> float:
    """Percent of clips whose feature under one random view is nearest, in a batch, to that under another one.

    The views are the first two of the model's preprocessor that do not continue from one another. The result is NaN if
    there are fewer than two, or less than one batch of clips. The draws are always the same and do not affect training.
    """
    preprocessor = copy.copy(model.data_preprocessor)
    views, origin = getattr(preprocessor, 'view_names', []), getattr(preprocessor, 'origin', {})
    names = [name for name in views if origin.get(name) not in views and preprocessor.active[name]][:2]
    rows = _spaced(len(clips))
    batches = [rows[i:i + batch_size] for i in range(0, len(rows) - batch_size + 1, batch_size)]
    if len(names) < 2 or not batches or batch_size < 2:
        return math.nan
    preprocessor.set_progress(0)  # the copy has its own generator
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        found = []
        for batch in batches:
            made = preprocessor(clips.__getitems__(batch), True)
            frames = (made.get('data_samples') or {}).get('num_frames')
            first, second = (model.extract_feat(made['inputs'][name], frames) for name in names)
            found.append(float(in_batch_top1(first, second)))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return sum(found) / len(found)
