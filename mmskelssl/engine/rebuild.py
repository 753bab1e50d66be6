"""Building models and data sets from the JSON in a checkpoint.

mmengine's registries import and call whatever a dotted ``type`` names (``subprocess.run``...), so a description from
a file may only name what is registered.
"""
import difflib
import json
import logging

import torch
from torch import nn

from mmskelssl import registry
from mmskelssl.datasets.skeleton_dataset import dataset_config
from mmskelssl.errors import UserError


def decode_info(checkpoint: dict, path) -> dict:
    """``meta['mmskelssl']`` of a checkpoint, with ``model`` and ``dataset`` as dicts."""
    info = (checkpoint.get('meta') or {}).get('mmskelssl')
    if not isinstance(info, dict) or 'model' not in info:
        raise UserError(f'{path}: does not say how to build its model (written by another program?); '
                        'use python tools/test.py CONFIG CKPT')
    try:
        return {**info, **{key: json.loads(info[key]) for key in ('model', 'dataset') if key in info}}
    except (TypeError, ValueError) as error:
        raise UserError(f'{path}: its model description is not JSON: {error}') from error


def registered_types() -> set[str]:
    """Every name that a config may use as ``type`` for models, augmentations, data sets and transforms."""
    names = set()
    for kind in ('MODELS', 'BATCH_AUGMENTS', 'DATASETS', 'TRANSFORMS'):
        node = getattr(registry, kind)
        node.import_from_location()
        while node is not None:
            names.update(node.module_dict)
            node = node.parent
    return names


def check_types(config, where: str) -> None:
    """Refuse a config, however nested, that names anything unregistered."""
    known = registered_types()

    def visit(node):
        if isinstance(node, dict):
            if '_scope_' in node and node['_scope_'] != 'mmskelssl':
                raise UserError(f'{where}: its description asks for the scope {node["_scope_"]!r}; refused')
            if 'type' in node and str(node['type']).removeprefix('mmskelssl.') not in known:
                close = difflib.get_close_matches(str(node['type']), known, 3, 0.6)
                raise UserError(f'{where}: type {node["type"]!r} is not registered'
                                + (f' (nearest: {", ".join(close)})' if close else '')
                                + '; if a plug-in has it, name the module or its path with --imports')
            for value in node.values():
                visit(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                visit(value)

    visit(config)


def build_model(config: dict, where: str, seed: int | None = None) -> nn.Module:
    """Build a model from plain data.

    Args:
        config: Model config with registered types only.
        where: File that it came from, for messages.
        seed: Initialise the weights from this seed; else leave them as they are built. torch's generators are put
            back afterwards.
    """
    check_types(config, where)
    try:
        method = registry.MODELS.get(config['type'])
        if hasattr(method, 'rename_options'):  # an older version may have written the description
            config = method.rename_options(config)
        if seed is None:
            return registry.MODELS.build(config)
        with torch.random.fork_rng([*range(torch.cuda.device_count())]):
            torch.manual_seed(seed)
            model = registry.MODELS.build(config)
            if hasattr(model, 'init_weights'):
                before = logging.root.manager.disable
                logging.disable(logging.INFO)  # mmengine logs a line for every parameter
                try:
                    model.init_weights()
                finally:
                    logging.disable(before)
            return model
    except UserError:
        raise
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f'{where}: its model cannot be built here: {error}') from error


def build_dataset(data: dict, split: str, where: str):
    """The data set of a split, as a checkpoint describes it (:func:`dataset_config`)."""
    # Not where to write: that is no file's to say.
    config = dataset_config({key: value for key, value in data.items() if key != 'cache_dir'}, split)
    check_types(config, where)
    return registry.DATASETS.build(config)
