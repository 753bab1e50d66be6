"""Train, measure and use models from Python. docs/python.md has an example of each function.

Example::

    extractor = FeatureExtractor('work_dirs/aimclr_toy/epoch_16.pth')
    feats = extractor([walk, jump])  # arrays (T, V, C) -> (2, D)
"""
import difflib
import inspect
import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine import rebuild
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.options import check_options
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.train import train as _train
from mmskelssl.engine.work_dir import last_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.evaluation.linear import fit_probe
from mmskelssl.inference.classifier import SkeletonClassifier
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.inference.predictions import Predictions
from mmskelssl.inference.stream import SkeletonStream
from mmskelssl.models import SelfSupervisedModel
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.registry import MODELS
from mmskelssl.shipped import config_names, find_config

if TYPE_CHECKING:
    from mmskelssl.inference.transformer import SkeletonFeatures

__all__ = ['FeatureExtractor', 'Predictions', 'SkeletonClassifier', 'SkeletonFeatures', 'SkeletonInferencer',
           'SkeletonStream', 'build_model', 'evaluate', 'list_configs', 'list_methods', 'train']


def train(config: str | PathLike, imports: Sequence[str] = (), **options) -> str:
    """Pre-train an encoder, as ``mmskelssl train`` does: all stages of a config.

    Args:
        config: A config, or the name of a shipped one (:func:`list_configs`).
        imports: Plug-ins to import first: modules, or paths of packages and files.
        **options: Options of the command, see :func:`mmskelssl.engine.train.train`: ``work_dir``, ``seed``,
            ``resume`` (``'auto'`` or a path), ``init_from``, ``amp``, ``compile``, ``threads``, ``allow_change``, and
            ``cfg_options``, a dict from dotted keys of the config to values.

    Returns:
        Path of the last checkpoint.

    Raises:
        UserError: If an option is unknown, the config contains a mistake, or the run fails for a reason that the user
            can fix.
    """
    import_plugins(imports)
    return _train(find_config(os.fspath(config)), **_checked(options, _train))


def evaluate(checkpoints: str | PathLike | Sequence[str | PathLike], protocols: str | Sequence[str] = ('knn', 'linear'),
             out: str | PathLike | None = None, **options) -> list[dict]:
    """Measure encoders under the protocols of the papers, as ``mmskelssl evaluate`` does.

    Args:
        checkpoints: One or more checkpoints, or work_dirs to use their last ones.
        protocols: One or more of the protocols that ``mmskelssl evaluate --help`` lists.
        out: Folder for ``results.json``, scores and pictures. Default: ``DIR_OF_CKPT/NAME_OF_CKPT_eval``.
        **options: Options of the command, see :class:`mmskelssl.commands.measure.Measurement`: ``recipes``, ``pairs``,
            ``untrained``, ``data``, ``seed``, ``batch_size``, ``device``, ``pictures``, ``names`` and ``imports``.

    Returns:
        The rows of this evaluation in ``results.json``, each a dict with ``encoder``, ``protocol``, ``recipe``,
        ``top1``, ``ci95`` and so on.

    Raises:
        UserError: If an option is unknown, or an encoder cannot be measured.
    """
    from mmskelssl.commands.measure import Measurement, evaluate_checkpoints
    known = _checked(options, Measurement, evaluate_checkpoints)
    given = [checkpoints] if isinstance(checkpoints, (str, PathLike)) else list(checkpoints)
    if not given:
        raise UserError('checkpoints: expected at least one')
    paths = [last_checkpoint(os.fspath(path)) for path in given]
    names = [protocols] if isinstance(protocols, str) else list(protocols)
    if not names:
        raise UserError('protocols: expected at least one')
    for option in ('recipes', 'pairs', 'names', 'imports'):  # a text is a sequence, too, of its letters
        if isinstance(known.get(option), str):
            known[option] = [known[option]]
    return evaluate_checkpoints(paths, names, os.fspath(out or osp.splitext(paths[-1])[0] + '_eval'), **known)


def build_model(config: str | PathLike, cfg_options: Mapping | None = None, seed: int | None = None,
                imports: Sequence[str] = ()) -> SkeletonEncoder:
    """Build the untrained model of a config, as ``mmskelssl train`` does for its last stage.

    The store of the config determines the layout and the number of coordinates.

    Args:
        config: A config, or the name of a shipped one.
        cfg_options: Dotted keys of the config to change.
        seed: Seed of the weights. Default: ``randomness.seed`` of the config, else 0.
        imports: Plug-ins to import first.
    """
    import_plugins(imports)
    path = find_config(os.fspath(config))
    _, spec = complete(load_config(path, check_options(cfg_options or {}))[-1][1], seed)
    return rebuild.build_model(spec.model, path, spec.seed)


def list_configs() -> list[str]:
    """Return the sorted names of the configs that ship with this package."""
    return config_names()


def __getattr__(name: str):
    if name != 'SkeletonFeatures':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from mmskelssl.inference.transformer import SkeletonFeatures  # scikit-learn takes a second to import
    return SkeletonFeatures


def _checked(options: Mapping, *functions: Callable) -> dict:
    """Return options after a check that functions take them, with paths as text. The error suggests a similar name."""
    known = {name for function in functions for name, kind in inspect.signature(function).parameters.items()
             if kind.kind is kind.POSITIONAL_OR_KEYWORD} - {'config', 'paths', 'protocols', 'out'}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UserError(f'{name}: no such option' + (f'; did you mean {near[0]}?' if near else
                                                         f'; there are {", ".join(sorted(known))}'))
    return {name: os.fspath(value) if isinstance(value, PathLike) else value for name, value in options.items()}


def list_methods() -> list[str]:
    """Return the sorted names of the registered pre-training methods, including those of imported plug-ins."""
    MODELS.import_from_location()
    return sorted(name for name, kind in MODELS.module_dict.items()
                  if inspect.isclass(kind) and issubclass(kind, SelfSupervisedModel) and not inspect.isabstract(kind))


class SkeletonInferencer:
    """Classify clips with the ``logreg`` probe of tools/evaluate.py, fitted on frozen features and labels of a store.

    The probe is fitted in each process. ``mmskelssl fit`` fits one that is calibrated and kept
    (:class:`~mmskelssl.inference.classifier.SkeletonClassifier`).

    Args:
        checkpoint, device, batch_size, imports, like: As in :class:`FeatureExtractor`.
        store: Folder of a labelled store.
        split: Split for training the probe, or ``all``.

    Attributes:
        classes: Class names in the order of the score columns, or numbers if the store has no names.
    """

    def __init__(self, checkpoint: str | PathLike, store: str | PathLike, split: str = 'train',
                 device: str | torch.device | None = None, batch_size: int = 256, imports: Sequence[str] = (),
                 like: str | PathLike | None = None):
        self.extractor = FeatureExtractor(checkpoint, device, batch_size, imports, like)
        train = self.extractor.of_store(store, split)
        self.classes = SkeletonStore(store).classes or [str(i) for i in range(train.labels.max() + 1)]
        self._score = fit_probe(train.feats, train.labels, 'logreg', num_classes=len(self.classes))

    def __call__(self, clips) -> tuple[list[str], np.ndarray]:
        """Return the class name of each clip and scores (N, classes) float32.

        Scores are logits, and the predicted class is their argmax. Classes without training clips are never predicted.

        Args:
            clips: As in :class:`FeatureExtractor`.
        """
        scores = self._score(self.extractor(clips))
        return [self.classes[i] for i in scores.argmax(1)], scores
