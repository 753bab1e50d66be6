"""Hooks that pass a run's progress and schedules to the model and the preprocessor."""
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop

from mmskelssl.engine.checkpoint_schema import check_resumable
from mmskelssl.engine.run_spec import RunSpec, refuse_changes
from mmskelssl.errors import UserError
from mmskelssl.models.base import Progress
from mmskelssl.models.checks import check_integer, check_switch
from mmskelssl.provenance import short_command
from mmskelssl.registry import BATCH_AUGMENTS, HOOKS


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model inside a distributed wrapper."""
    return cast(torch.nn.Module, model.module) if is_model_wrapper(model) else model


@HOOKS.register_module()
class ProgressHook(Hook):
    """Gives the model the position in the run before each iteration; random draws and schedules depend only on it."""
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        unwrap(runner.model).set_progress(Progress(runner.epoch, runner.iter, runner.max_iters))


@HOOKS.register_module()
class AugmentCurriculumHook(Hook):
    """ActCLR's curriculum (docs/methods.md 1.1): each epoch keeps a random subset of a view's augmentations.

    Args:
        phases: Sorted by ``begin`` (finished epochs), each ``dict(begin, keep={view: count}, core=bool)``. ``keep`` is
            the number of the view's augmentations outside the core that remain. ``core=False`` also drops the core.
        core: Types of augmentation that are exempt from the draw.
    """

    def __init__(self, phases: list[dict], core: tuple[str, ...] = ('TemporalCrop', 'Shear')):
        if not isinstance(phases, (list, tuple)) or not all(isinstance(phase, Mapping) for phase in phases):
            raise UserError(f'AugmentCurriculumHook: phases is {phases!r}; it must be a list of dict(begin=..., '
                            'keep={VIEW: COUNT})')
        for i, phase in enumerate(phases):
            where = f'AugmentCurriculumHook: phases.{i}'
            unknown, keep = set(phase) - {'begin', 'keep', 'core'}, phase.get('keep', {})
            if unknown:
                raise UserError(f'{where}.{min(unknown)} does not exist; there are begin, keep and core')
            check_integer(f'{where}.begin', phase.get('begin'), 0)
            check_switch(f'{where}.core', phase.get('core', True))
            if not isinstance(keep, Mapping):
                raise UserError(f'{where}.keep is {keep!r}; it must be a dict of the number to keep for each view')
            for view, count in keep.items():
                check_integer(f'{where}.keep.{view}', count, 0)
        begins = [phase['begin'] for phase in phases]
        if len(set(begins)) < len(begins):
            raise UserError(f'AugmentCurriculumHook: two phases begin after the same number of epochs ({begins})')
        BATCH_AUGMENTS.import_from_location()
        known = {kind.__name__ for kind in BATCH_AUGMENTS.module_dict.values()}
        for name in [core] if isinstance(core, str) else core:
            if name not in known:
                raise UserError(f'AugmentCurriculumHook: core names {name!r}, which is no augmentation; there are '
                                f'{", ".join(sorted(known))}')
        core = (core,) if isinstance(core, str) else core
        self.phases, self.core = sorted(phases, key=lambda phase: phase['begin']), tuple(core)

    def before_train_epoch(self, runner):
        preprocessor = unwrap(runner.model).data_preprocessor
        phase = [p for p in self.phases if p['begin'] <= runner.epoch][-1:] or [dict(begin=0)]
        # Check all phases at once: a mistake in the last phase should not end a run on its second day.
        unknown = {view for p in self.phases for view in p.get('keep', {})} - set(preprocessor.views)
        if unknown:
            raise UserError(f'AugmentCurriculumHook: no view named {", ".join(sorted(unknown))}; the model has '
                            f'{", ".join(preprocessor.views)}')
        for name, ops in preprocessor.views.items():
            preprocessor.active[name] = self.draw(name, ops, phase[0], preprocessor.seed, runner.epoch)

    def draw(self, name: str, ops: list, phase: dict, seed: int, epoch: int) -> tuple[int, ...]:
        """Return the sorted indices of the augmentations that remain; they depend only on the seed and the epoch."""
        core = [i for i, op in enumerate(ops) if type(op).__name__ in self.core]
        extra = [i for i in range(len(ops)) if i not in core]
        count = min(phase.get('keep', {}).get(name, len(extra)), len(extra))
        rng = np.random.default_rng((seed, epoch, *name.encode()))
        kept = rng.choice(extra, count, replace=False).tolist() if count else []
        return tuple(sorted(kept + (core if phase.get('core', True) else [])))


@HOOKS.register_module()
class FillQueueHook(Hook):
    """Fills the queue with real keys before the first step, because random directions are trivially easy negatives."""

    def before_train(self, runner):
        model = unwrap(runner.model)
        if runner.iter or not getattr(model, 'queue', None):
            return
        model.key_encoder.start()
        filled = 0
        while filled < len(model.queue):
            for batch in runner.train_dataloader:
                prepared = model.data_preprocessor(batch, True)
                views = prepared['inputs']
                model.queue.enqueue(model.encode_key(views['key'], prepared['data_samples'].get('num_frames')))
                filled += len(views['key']) * get_world_size()
                if filled >= len(model.queue):
                    break


@HOOKS.register_module()
class InitFromHook(Hook):
    """Starts the online network from another run's checkpoint, and refuses one that does not fit it entirely.

    Args:
        checkpoint: File of an earlier stage, or of another run.
        carry: Prefixes of the parameters to load. The checkpoint must contain all of the model's keys below them. A
            dict maps prefixes of the checkpoint to prefixes of the model.
    """
    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, carry: Sequence[str] | Mapping[str, str] = ('backbone.', 'projector.')):
        self.checkpoint = checkpoint
        self.carry = dict(carry) if isinstance(carry, Mapping) else {prefix: prefix for prefix in carry}

    def before_train(self, runner):
        if runner.iter:
            return  # a resumed run already has its weights
        from mmskelssl.engine.checkpoint import load_part
        for theirs, ours in self.carry.items():
            load_part(unwrap(runner.model), self.checkpoint, ours, theirs)
        if is_main_process():
            names = (ours if ours == theirs else f'{ours} from {theirs}' for theirs, ours in self.carry.items())
            runner.logger.info(f'started from {self.checkpoint} ({", ".join(names)})')


class RunInfoHook(Hook):
    """Writes to each checkpoint the plain strings and numbers that are needed to rebuild and trace its model.

    Also refuses to resume a checkpoint of a different run. The hook is not registered because every run has it and no
    config selects it.

    Args:
        spec: Everything that determines the result of the run.
        launcher: What has started the processes.
        allow_change: Resume a different run and log the differences. The run then continues at the same fraction of
            its epoch, with the optimiser options and schedules of the current config.
    """

    def __init__(self, spec: RunSpec, allow_change: bool = False, launcher: str = 'none'):
        self.spec, self.allow_change, self.launcher = spec, allow_change, launcher
        self.options: list[dict] = []  # options of the optimiser's groups in the config, if the config has changed

    def before_save_checkpoint(self, runner, checkpoint):
        meta = checkpoint['meta']
        meta['mmskelssl'] = dict(self.spec.meta(), epoch=meta['epoch'], iteration=meta['iter'],
                                 epoch_length=len(runner.train_dataloader), threads=torch.get_num_threads(),
                                 command=short_command(), launcher=self.launcher)

    def after_load_checkpoint(self, runner, checkpoint):
        from mmskelssl.engine.checkpoint import load_whole
        check_resumable(checkpoint, runner._load_from, runner.optim_wrapper, runner.param_schedulers)
        changes = refuse_changes(runner._load_from, checkpoint, self.spec, self.allow_change)
        for change in changes:
            runner.logger.warning(f'resuming although {change}')
        before, now = (checkpoint['meta'].get('mmskelssl') or {}).get('threads'), torch.get_num_threads()
        if before not in (None, now) and get_device() == 'cpu':
            runner.logger.warning(f'the number of threads was {before} and is {now}: sums round differently, so that '
                                  f'the run does not continue bit for bit; --threads {before} does')
        load_whole(unwrap(runner.model), checkpoint, runner._load_from, '')
        if changes:
            self._adapt(runner, checkpoint)

    def _adapt(self, runner, checkpoint) -> None:
        """Convert the position to epochs of the current length, and discard the old schedules."""
        meta, length = checkpoint['meta'], len(runner.train_dataloader)
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            meta['iter'] = meta['iter'] * length // meta['mmskelssl'].get('epoch_length', length)
        checkpoint.pop('param_schedulers', None)
        self.options = [{key: value for key, value in group.items() if key != 'params'}
                        for group in runner.optim_wrapper.param_groups]

    def before_train(self, runner):
        if not self.options:
            return
        for group, options in zip(runner.optim_wrapper.param_groups, self.options, strict=True):
            group.update(options)
        schedulers, length = runner.param_schedulers or [], len(runner.train_dataloader)
        for step in range(1, runner.iter + 1):  # a scheduler continues from its last value and cannot jump
            for scheduler in schedulers:
                if not scheduler.by_epoch or step % length == 0:
                    scheduler.step()
