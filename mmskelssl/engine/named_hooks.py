"""Named hooks: those that every run has, and those that a config may add, change and remove.

A config's ``default_hooks`` gives each hook a name, so that a run can change one option of one hook
(``default_hooks.knn.interval=1``). Its ``custom_hooks`` is a list of additional hooks.
"""
import difflib
import re
from collections.abc import Mapping

from mmengine import hooks as stock
from mmengine.config import Config

from mmskelssl.errors import UserError
from mmskelssl.registry import HOOKS

# Name -> type, and what a run would lack without it. Every run has these hooks, even if its config omits them.
ENSURED = dict(
    runtime_info=('RuntimeInfoHook', 'logs, curves and alarms read what it records'),
    sampler_seed=('DistSamplerSeedHook', 'every epoch would see the clips in the same order'),
    param_scheduler=('ParamSchedulerHook', 'learning rates would not follow their schedule; `param_scheduler = None` '
                                           'keeps them constant'),
    checkpoint=('mmskelssl.CheckpointHook', 'the run could not be resumed; `interval` sets how often it saves'),
    progress=('mmskelssl.ProgressHook', 'schedules of the method and random augmentations would not advance'),
    non_finite=('mmskelssl.NonFiniteHook', 'training would continue on NaN'),
    plain_checkpoint=('mmskelssl.PlainCheckpointHook', 'checkpoints would hold pickled objects, which resuming '
                                                       'refuses'))
_FRAMEWORK = (*ENSURED, 'timer', 'logger', 'knn', 'progress_bar')
# These hooks only observe. Custom classes declare this with `decides_result = False`.
_OBSERVERS = (stock.RuntimeInfoHook, stock.IterTimerHook, stock.LoggerHook, stock.CheckpointHook,
              stock.NaiveVisualizationHook, stock.ProfilerHook, stock.EmptyCacheHook)


def complete_hooks(cfg: Config) -> None:
    """Add the hooks of :data:`ENSURED` to ``default_hooks``, and remove those that are None.

    Raises:
        UserError: If the config removes, replaces or adds a hook in a way that is not supported.
    """
    _refuse_method_hooks(cfg)
    given, custom = cfg.get('default_hooks') or {}, cfg.get('custom_hooks') or []
    if not isinstance(given, Mapping):
        raise UserError(f'default_hooks is {given!r}; it must be a dict of hooks by name')
    if not isinstance(custom, (list, tuple)):
        raise UserError(f'custom_hooks is {custom!r}; it must be a list of hooks')
    hooks = {name: _ensured(name, hook) if name in ENSURED else hook for name, hook in given.items()}
    hooks |= {name: _ensured(name, {}) for name in ENSURED if name not in hooks}
    for name, hook in hooks.items():
        if hook is not None:
            _check(f'default_hooks.{name}', hook, name)
    # mmengine adds its own hooks under these names unless they are None.
    cfg.default_hooks = {name: hook for name, hook in hooks.items() if hook is not None or name in ('timer', 'logger')}
    for where, hook in [*((f'default_hooks.{name}', hook) for name, hook in hooks.items()),
                        *((f'custom_hooks.{i}', hook) for i, hook in enumerate(custom))]:
        kind = hook_class(hook) if isinstance(hook, Mapping) else None
        if kind and waits_for_validation(kind):
            raise UserError(f'{where}: {kind.__name__} acts only when a loop validates or tests, and a run has no such '
                            'loop: leave it out, or write a hook with after_train_epoch')
    for i, hook in enumerate(custom):
        _check(f'custom_hooks.{i}', hook)
    framework = {name: hook_class(hooks[name]) for name in _FRAMEWORK if hooks.get(name)}
    others = {f'default_hooks.{name}': hook for name, hook in hooks.items() if hook and name not in framework}
    for where, hook in {**others, **{f'custom_hooks.{i}': hook for i, hook in enumerate(custom)}}.items():
        name = next((name for name, kind in framework.items() if _is_again(hook_class(hook), kind)), None)
        if name:
            raise UserError(f'{where}: the run has this hook as default_hooks.{name}: set its options there, '
                            f'and remove {where}')


def _refuse_method_hooks(cfg: Config) -> None:
    """Refuse ``method_hooks`` of earlier versions, and say how to write it now."""
    if 'method_hooks' not in cfg:
        return
    given = cfg.method_hooks if isinstance(cfg.method_hooks, (list, tuple)) else []
    kinds = [hook['type'] for hook in given if isinstance(hook, Mapping) and isinstance(hook.get('type'), str)]
    entries = ', '.join(f"{usual_name(kind)}=dict(type='{kind}', ...)" for kind in kinds)
    advice = f'default_hooks = dict({entries})' if entries else 'default_hooks = dict(NAME=None) to leave a hook out'
    raise UserError(f'{cfg.filename or "the config"}: method_hooks is no longer read; write {advice}')


def deciding_hooks(cfg: Config) -> dict:
    """Return the ``default_hooks`` and ``custom_hooks`` of a complete config that affect a run's result."""
    return dict(default_hooks={name: hook for name, hook in cfg.default_hooks.items()
                               if hook and name not in ENSURED and decides_result(hook)},
                custom_hooks=[hook for hook in cfg.get('custom_hooks') or [] if decides_result(hook)])


def decides_result(hook: Mapping) -> bool:
    """Return whether the weights may depend on this hook. Unknown hooks count as such."""
    kind = hook_class(hook)
    return kind is None or (getattr(kind, 'decides_result', True) and not issubclass(kind, _OBSERVERS))


def waits_for_validation(kind: type) -> bool:
    """Return whether the methods of a hook are those of validation and test loops only, which do not run."""
    own = [name for name in dir(kind) if re.match('_?(before|after)_', name) and
           getattr(kind, name) is not getattr(stock.Hook, name, None)]
    return any(re.search('_(val|test)', name) for name in own) and all(
        re.search('_(val|test)', name) or name == 'before_run' for name in own)


def usual_name(kind: str) -> str:
    """Derive the name of a hook from its type: ``FillQueueHook`` becomes ``fill_queue``."""
    return re.sub(r'(?<=[a-z])(?=[A-Z])', '_', kind.removesuffix('Hook')).lower()


def hook_class(hook: Mapping) -> type | None:
    """Return the registered class of a hook's config, or None. No module that the config names is imported."""
    kind = hook.get('type')
    if isinstance(kind, type):
        return kind
    HOOKS.import_from_location()
    scope, _, name = str(kind).rpartition('.')
    theirs = HOOKS.parent.module_dict
    found = {'': {**theirs, **HOOKS.module_dict}, 'mmskelssl': HOOKS.module_dict, 'mmengine': theirs}
    return found.get(scope, {}).get(name)


def _is_again(kind: type | None, known: type | None) -> bool:
    """Return whether a hook does what a ``known`` one does. Two that save checkpoints overwrite each other's files."""
    if kind is None or known is None or kind is stock.Hook:
        return False
    return issubclass(known, kind) or all(issubclass(one, stock.CheckpointHook) for one in (kind, known))


def _ensured(name: str, hook):
    """Return the config of a hook that every run has, including its type."""
    kind, loss = ENSURED[name]
    if hook is None:
        raise UserError(f'default_hooks.{name} = None: this hook cannot be removed; without it {loss}')
    if not isinstance(hook, Mapping):
        return hook  # refused by _check, as for other hooks
    hook = {'type': kind, **hook}
    own, found = hook_class(dict(type=kind)), hook_class(hook)
    assert own is not None  # the types in ENSURED are registered
    if found and not issubclass(found, own):
        raise UserError(f'default_hooks.{name} is a {found.__name__} of {found.__module__}, which does not derive from '
                        f'{own.__module__}.{own.__name__}; without that {loss}')
    return hook


def _check(where: str, hook, name: str = '') -> None:
    if not isinstance(hook, Mapping) or 'type' not in hook:
        close = difflib.get_close_matches(name, _FRAMEWORK, 1)
        raise UserError(f'{where} is {hook!r}; it must be dict(type=...)' +
                        (f'; did you mean {close[0]!r}?' if close and close[0] != name else ''))
