"""Finds the arguments of the classes that a config names, from their signatures."""
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmengine.model import MMDistributedDataParallel
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, LogProcessor
from torch import nn
from torch.utils.data import DataLoader

from mmskelssl import registry
from mmskelssl.datasets.skeleton_dataset import ABOUT, SkeletonDataset

# Keys that builders remove before they call the class.
_BUILDERS = dict(HOOKS={'priority'}, OPTIM_WRAPPERS={'constructor', 'paramwise_cfg'},
                 PARAM_SCHEDULERS={'convert_to_iter_based'})
# Arguments that builders give themselves.
_GIVEN = dict(OPTIMIZERS={'params'}, PARAM_SCHEDULERS={'optimizer'}, DATA_SAMPLERS={'dataset'},
              LOOPS={'runner', 'dataloader'})
# Keys of `data` that are not arguments of the data set. Some are refused elsewhere with a reason.
_DATA = {'split', 'prepare', 'shuffle', 'train_split', 'test_split', ABOUT}
_ENTRY = re.compile(r'data\.stores\.\d+')
_EVALUATION = re.compile(r'default_hooks\.knn\.evaluation(\.stores\.[^.]+)?')
# Keys of `train_dataloader` that mmengine reads itself.
_LOADER = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch'}
_PLAIN = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'randomness': {'seed', 'deterministic', 'diff_rank_seed'},
    'optim_wrapper.paramwise_cfg': {  # of mmengine's constructor, which looks them up by name
        'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
        'dcn_offset_lr_mult', 'bypass_duplicate'}}


@dataclass(frozen=True)
class Arguments:
    """Arguments that are allowed at one place in a config.

    Args:
        owners: Maps a name to the class whose ``__init__`` defines it, or to None for plain dicts.
        open: Whether further names may be allowed.
        what: Name of the class or dict, for messages.
    """
    owners: dict[str, object]
    open: bool = False
    what: str = ''

    def __contains__(self, name: str) -> bool:
        return self.open or name in self.owners


def arguments_at(path: str, node: Mapping) -> Arguments | None:
    """Return the allowed keys of the dict ``node`` at the dotted ``path`` of a config, or None if any key is allowed.

    A dict with a ``type`` takes the arguments of its class, including inherited ones. Some other dicts have an implied
    class.
    """
    if path == 'data' or _ENTRY.fullmatch(path):
        more = {'stores'} if path == 'data' else {'weight', 'name'}
        found = _with(_of_type(node.get('type', SkeletonDataset)), {'type', *_DATA, *more})
        found.owners.pop('part', None)  # chosen by the run
        return found
    if _EVALUATION.fullmatch(path) and 'stores' not in node:
        return _with(_of_type(node.get('type', SkeletonDataset)), {'type', *_DATA})
    if path == 'train_dataloader':
        return _with(_of_class(DataLoader), _LOADER)
    if path in _PLAIN:
        return Arguments({name: None for name in _PLAIN[path]}, what=path)
    if 'type' in node:
        return _with(_of_type(node['type']), {'type', '_scope_'})
    if path == 'train_cfg':
        return _with(_of_class(EpochBasedTrainLoop, _GIVEN['LOOPS']), {'by_epoch', 'type'})
    if path == 'model_wrapper_cfg':
        return _with(_of_class(MMDistributedDataParallel), {'type'})
    if path == 'log_processor':
        return _with(_of_class(LogProcessor), {'type'})
    return None


def takes(kind, name: str) -> bool:
    """Return whether a class, given by itself or by its registered name, has an argument ``name``."""
    return name in _of_type(kind).owners


def classes_named(name) -> list[tuple[str, object]]:
    """Return (registry, class) of every registered type of this name. Child registries precede mmengine's."""
    if not isinstance(name, str):
        return [('', name)]
    scope, _, short = name.rpartition('.')
    if scope not in ('', 'mmskelssl', 'mmengine'):
        return []
    found = []
    for kind, node in vars(registry).items():
        if not isinstance(node, Registry):
            continue
        node.import_from_location()
        if scope == 'mmengine':
            node = node.parent
        while node is not None and short not in node.module_dict:
            node = node.parent
        if node is not None:
            found.append((kind, node.module_dict[short]))
    return found


def _of_type(name) -> Arguments:
    """Return the arguments of all classes of this name. An unknown name takes any argument and fails when built."""
    found = classes_named(name)
    if not found:
        return Arguments({}, True, str(name))
    parts = [_with(_of_class(kind, _GIVEN.get(where, set())), _BUILDERS.get(where, set())) for where, kind in found]
    return Arguments({key: owner for part in reversed(parts) for key, owner in part.owners.items()},
                     any(part.open for part in parts), parts[0].what)


def _of_class(kind, given: Collection[str] = ()) -> Arguments:
    """Return the arguments of a class and of its bases, as far as ``**kwargs`` passes them on, without those given."""
    owners: dict[str, object] = {}
    what, handed_on = getattr(kind, '__name__', str(kind)), True
    for base in kind.__mro__ if inspect.isclass(kind) else [kind]:
        if not handed_on or base in (object, nn.Module):
            break
        function = vars(base).get('__init__') if inspect.isclass(base) else base
        if function is None:
            continue
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # compiled
            break
        known = {'self', *given, *owners}
        owners.update((parameter.name, base) for parameter in parameters if parameter.name not in known and
                      parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY))
        handed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    else:
        return Arguments(owners, handed_on, what)
    # Arguments that reach the end of the inheritance chain are read by the class with **kwargs, if there is one.
    return Arguments(owners, handed_on and bool(owners), what)


def _with(found: Arguments, names: set[str]) -> Arguments:
    return Arguments({**{name: None for name in names}, **found.owners}, found.open, found.what)
