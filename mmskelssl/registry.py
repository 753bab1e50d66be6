"""Registries of the scope ``mmskelssl``: a child of every mmengine root registry and one additional registry.

All roots have a child because mmengine logs a warning at every build otherwise. ``locations`` lists the packages that
register a type. They are imported before an unknown type is rejected.
"""
import difflib
import re

from mmengine import registry as _root
from mmengine.registry import Registry

_LOCATIONS = dict(
    MODELS=['mmskelssl.models'],
    DATASETS=['mmskelssl.datasets.skeleton_dataset', 'mmskelssl.datasets.pool'],
    DATA_SAMPLERS=['mmskelssl.datasets.pool_sampler', 'mmskelssl.datasets.shard_sampler'],
    TRANSFORMS=['mmskelssl.datasets.transforms'],
    FUNCTIONS=['mmskelssl.datasets.skeleton_dataset'],
    HOOKS=['mmskelssl.engine.hooks'],
    LOOPS=['mmskelssl.engine'],
    MODEL_WRAPPERS=['mmskelssl.engine'],
    OPTIM_WRAPPERS=['mmskelssl.engine'],
    VISBACKENDS=['mmskelssl.engine'],
)


def _child(name: str) -> Registry:
    parent = getattr(_root, name)
    return Registry(parent.name, parent=parent, scope='mmskelssl', locations=_LOCATIONS.get(name, []))


RUNNERS = _child('RUNNERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
LOOPS = _child('LOOPS')
HOOKS = _child('HOOKS')
STRATEGIES = _child('STRATEGIES')
DATASETS = _child('DATASETS')
DATA_SAMPLERS = _child('DATA_SAMPLERS')
TRANSFORMS = _child('TRANSFORMS')
FUNCTIONS = _child('FUNCTIONS')
MODELS = _child('MODELS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
METRICS = _child('METRICS')
EVALUATOR = _child('EVALUATOR')
TASK_UTILS = _child('TASK_UTILS')
VISUALIZERS = _child('VISUALIZERS')
VISBACKENDS = _child('VISBACKENDS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
INFERENCERS = _child('INFERENCERS')
# Random batched augmentations on the device. mmengine has no registry for them.
BATCH_AUGMENTS = Registry('batch_augment', scope='mmskelssl', locations=['mmskelssl.augment'])


def explain_unknown(error: Exception) -> str | None:
    """Explain an error about an unknown type, with the closest names. Return None for any other error."""
    text = ' '.join(str(error.args[0] if error.args else error).split())
    match = re.search(r'(\S+) is not in the (?:\S+::)?([\w ]+) registry', text)
    if not match:
        return None
    name, kind = match[1], match[2].replace(' ', '_')
    found = {key: value.module_dict for key, value in globals().items()
             if isinstance(value, Registry) and value.name.replace(' ', '_') == kind}
    found = {key: {**(getattr(_root, key).module_dict if hasattr(_root, key) else {}), **types}
             for key, types in found.items()}  # include mmengine's own types
    registry, known = next(iter(found.items()), ('REGISTRY', {}))
    close = difflib.get_close_matches(name, known, 3, 0.4) or sorted(known)
    return (f'unknown {kind} {name!r}; did you mean {", ".join(close)}? Register a custom type in '
            f'mmskelssl.registry.{registry} and list its module in custom_imports')
