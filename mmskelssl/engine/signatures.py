"""What the classes that a config names can be given, from their signatures."""
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, LogProcessor
from torch import nn
from torch.utils.data import DataLoader

from mmskelssl import registry
from mmskelssl.datasets.skeleton_dataset import ABOUT, SkeletonDataset

# What builders take out before they call the class.
_BUILDERS = dict(HOOKS={'priority'}, OPTIM_WRAPPERS={'constructor', 'paramwise_cfg'},
                 PARAM_SCHEDULERS={'convert_to_iter_based'})
# What `data` says besides the arguments of the data set; some of it is refused elsewhere, with a reason.
_DATA = {'split', 'prepare', 'train_split', 'test_split', ABOUT}
# What mmengine reads of `train_dataloader` itself.
_LOADER = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch'}
_PLAIN = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'randomness': {'seed', 'deterministic', 'diff_rank_seed'}}


@dataclass(frozen=True)
class Arguments:
    """What can be given at one place of a config.

    Args:
        owners: Name -> the class whose ``__init__`` names it, which gives it its meaning; None for plain dicts.
        open: Further names may be possible.
        what: Who takes them, for messages.
    """
    owners: dict[str, object]
    open: bool = False
    what: str = ''

    def __contains__(self, name: str) -> bool:
        return self.open or name in self.owners


def arguments_at(path: str, node: Mapping) -> Arguments | None:
    """What the dict ``node`` at the dotted ``path`` of a config may hold; None where anything may stand.

    A dict with a ``type`` takes what its class takes, inherited arguments included; some others have an implied class.
    """
    if path == 'data':
        found = _with(_of_type(node.get('type', SkeletonDataset)), {'type', *_DATA})
        found.owners.pop('part', None)  # the run's to choose
        return found
    if path == 'train_dataloader':
        return _with(_of_class(DataLoader), _LOADER)
    if path in _PLAIN:
        return Arguments({name: None for name in _PLAIN[path]}, what=path)
    if 'type' in node:
        return _with(_of_type(node['type']), {'type', '_scope_'})
    if path == 'train_cfg':
        return _with(_of_class(EpochBasedTrainLoop), {'by_epoch', 'type'})
    if path == 'log_processor':
        return _with(_of_class(LogProcessor), {'type'})
    return None


def takes(kind, name: str) -> bool:
    """Does the class of this registered name, or the class itself, have an argument of this name?"""
    return name in _of_type(kind).owners


def classes_named(name) -> list[tuple[str, object]]:
    """(registry, class) of every registered type of this name; a child registry goes before mmengine's."""
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
    """What any class of this name takes; everything where there is none, which is refused when it is built."""
    found = classes_named(name)
    if not found:
        return Arguments({}, True, str(name))
    parts = [_with(_of_class(kind), _BUILDERS.get(where, set())) for where, kind in found]
    return Arguments({key: owner for part in reversed(parts) for key, owner in part.owners.items()},
                     any(part.open for part in parts), parts[0].what)


def _of_class(kind) -> Arguments:
    """Arguments along the inheritance, as far as ``**kwargs`` hands them on."""
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
        owners.update((parameter.name, base) for parameter in parameters if parameter.name not in {'self', *owners} and
                      parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY))
        handed_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    else:
        return Arguments(owners, handed_on, what)
    # Arguments that reach the end of the inheritance are read by the class that has **kwargs, if one has.
    return Arguments(owners, handed_on and bool(owners), what)


def _with(found: Arguments, names: set[str]) -> Arguments:
    return Arguments({**{name: None for name in names}, **found.owners}, found.open, found.what)
