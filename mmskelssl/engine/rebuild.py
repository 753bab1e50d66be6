"""Builds models and data sets from the JSON in a checkpoint after checking its content and size."""
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmcv.transforms import Compose
from torch.nn.modules import module as torch_modules

from mmskelssl.datasets.preprocessing import build_transform
from mmskelssl.datasets.skeleton_dataset import dataset_config
from mmskelssl.engine.allow_list import DATASET, MODEL, PREPROCESSOR, TRANSFORM, allowed, resolve, resolve_all
from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.preprocessor import SkeletonPreprocessor

MAX_BYTES, MAX_TENSORS = 1 << 30, 20_000  # limits for a model from a file; the largest published one has 20 MiB


def build_model(config: dict, where: str, seed: int | None = None) -> SkeletonEncoder:
    """Build a model from plain data.

    Args:
        config: Model config. It may name the types that :mod:`mmskelssl.engine.allow_list` allows.
        where: File that the config comes from, for messages.
        seed: Seed for initialising the weights. Without a seed, ``init_weights`` is not called. torch's generators are
            restored afterwards.

    Raises:
        UserError: If the config is not allowed, or the model is too large or cannot be built.
    """
    with _one_line(f'{where}: its model cannot be built here'):
        method = allowed(MODEL).get(str(config.get('type')).removeprefix('mmskelssl.'))
        if rename := getattr(method, 'rename_options', None):  # an older version may have written the description
            config = rename(config)
        with torch.random.fork_rng([]), torch.device('meta'), _measured(where):
            _make(resolve(config, MODEL, where))  # check the size before allocating weights
        if seed is None:
            return _make(resolve(config, MODEL, where))
        with torch.random.fork_rng([*range(torch.cuda.device_count())]):
            torch.manual_seed(seed)
            model = _make(resolve(config, MODEL, where))
            if hasattr(model, 'init_weights'):
                before = logging.root.manager.disable
                logging.disable(logging.INFO)  # mmengine logs one line per parameter
                try:
                    model.init_weights()
                finally:
                    logging.disable(before)
            return model


def build_preprocessor(config: dict, where: str) -> SkeletonPreprocessor:
    """Build a preprocessor from plain data. Arguments and errors are those of :func:`build_model`."""
    with _one_line(f'{where}: its preprocessor cannot be built here'):
        return _make(resolve(config, PREPROCESSOR, where))


def build_dataset(data: dict, split: str, where: str):
    """Build the data set of a split from its description in a checkpoint (:func:`dataset_config`).

    The keys that choose how clips are kept and where, such as a folder to write to, are ignored.
    """
    config = dataset_config({key: value for key, value in data.items()
                             if key not in ('cache_dir', 'resident', 'preprocess')}, split)
    resolved = resolve(config, DATASET, where)
    # The pipeline keeps its types by name because the data set hashes it and sends it to other processes.
    with _one_line(f'{where}: its data set cannot be built here'):
        arguments = {**config, 'pipeline': _named(config.get('pipeline') or [])}
        dataset = resolved['type'](**{key: value for key, value in arguments.items() if key != 'type'})
    if getattr(dataset, 'preprocess', None) == 'batch':
        logging.getLogger('mmskelssl').warning(f'{dataset.store.path}: the clips of {split!r} are preprocessed per '
                                               f'batch ({dataset.chosen})')
    return dataset


def build_pipeline(pipeline: list[dict], where: str) -> Compose:
    """Build the transforms of a data set from a checkpoint's description, for clips in memory."""
    resolve_all(pipeline, TRANSFORM, where, 'data set.pipeline')
    with _one_line(f'{where}: its pipeline cannot be built here'):
        return build_transform(_named(pipeline))


def _named(pipeline: list[dict]) -> list[dict]:
    return [{**step, 'type': step['type'].removeprefix('mmskelssl.')} for step in pipeline]


def _make(resolved: dict):
    return resolved.pop('type')(**resolved)


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Report errors of constructors in one line: a constructor may fail on values that fit its signature."""
    try:
        yield
    except UserError as error:
        raise error if str(error).startswith(what.partition(':')[0]) else UserError(f'{what}: {error}') from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError,
            ValueError) as error:
        text = ' '.join(str(error).split())[:300]
        raise UserError(f'{what}: {text or type(error).__name__}') from error


@contextmanager
def _measured(where) -> Iterator[None]:
    """Refuse a model while it is being built as soon as it has too many or too large weights."""
    seen, size = 0, 0

    def count(module, name, tensor):
        nonlocal seen, size
        if tensor is not None:
            seen, size = seen + 1, size + tensor.numel() * tensor.element_size()
            if seen > MAX_TENSORS or size > MAX_BYTES:
                raise UserError(f'{where}: its model would have more than {MAX_BYTES >> 20} MiB or {MAX_TENSORS:,} '
                                'weights; refused')

    hooks = [torch_modules.register_module_parameter_registration_hook(count),
             torch_modules.register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
