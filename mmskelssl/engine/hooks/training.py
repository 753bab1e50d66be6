"""Hooks that carry a run's progress and schedules into model and preprocessor."""
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop

from mmskelssl.engine.checkpoint_schema import check_resumable
from mmskelssl.engine.run_spec import RunSpec, refuse_changes
from mmskelssl.errors import UserError
from mmskelssl.models.base import Progress
from mmskelssl.registry import HOOKS


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside a distributed wrapper."""
    return cast(torch.nn.Module, model.module) if is_model_wrapper(model) else model


@HOOKS.register_module()
class ProgressHook(Hook):
    """Tells the model, before each iteration, where the run is: random draws and schedules depend on that alone."""
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        unwrap(runner.model).set_progress(Progress(runner.epoch, runner.iter, runner.max_iters))


@HOOKS.register_module()
class AugmentCurriculumHook(Hook):
    """ActCLR's curriculum (docs/methods.md 1.1): each epoch keeps a random subset of a view's augmentations.

    Args:
        phases: In order of ``begin`` (epochs done), each ``dict(begin, keep={view: count}, core=bool)``. ``keep`` says
            how many of the view's augmentations outside the core remain, ``core=False`` drops the core too.
        core: Types of augmentation that are not subject to the draw.
    """

    def __init__(self, phases: list[dict], core: tuple[str, ...] = ('TemporalCrop', 'Shear')):
        self.phases, self.core = sorted(phases, key=lambda phase: phase['begin']), tuple(core)

    def before_train_epoch(self, runner):
        preprocessor = unwrap(runner.model).data_preprocessor
        phase = [p for p in self.phases if p['begin'] <= runner.epoch][-1:] or [dict(begin=0)]
        # Of all phases: a mistake in the last should not end a run on its second day.
        unknown = {view for p in self.phases for view in p.get('keep', {})} - set(preprocessor.views)
        if unknown:
            raise UserError(f'AugmentCurriculumHook: no view named {", ".join(sorted(unknown))}; the model has '
                            f'{", ".join(preprocessor.views)}')
        for name, ops in preprocessor.views.items():
            preprocessor.active[name] = self.draw(name, ops, phase[0], preprocessor.seed, runner.epoch)

    def draw(self, name: str, ops: list, phase: dict, seed: int, epoch: int) -> tuple[int, ...]:
        """Indices of the augmentations that stay, in order; the same for the same seed and epoch."""
        core = [i for i, op in enumerate(ops) if type(op).__name__ in self.core]
        extra = [i for i in range(len(ops)) if i not in core]
        count = min(phase.get('keep', {}).get(name, len(extra)), len(extra))
        rng = np.random.default_rng((seed, epoch, *name.encode()))
        kept = rng.choice(extra, count, replace=False).tolist() if count else []
        return tuple(sorted(kept + (core if phase.get('core', True) else [])))


@HOOKS.register_module()
class FillQueueHook(Hook):
    """Fills the queue with real keys before the first step; random directions are trivially easy negatives."""

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
        carry: Prefixes of the parameters taken over; all of the model's keys below them must be there. As a dict, the
            checkpoint's prefix -> the model's.
    """
    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, carry: Sequence[str] | Mapping[str, str] = ('backbone.', 'projector.')):
        self.checkpoint = checkpoint
        self.carry = dict(carry) if isinstance(carry, Mapping) else {prefix: prefix for prefix in carry}

    def before_train(self, runner):
        if runner.iter:
            return  # a resumed run has its own weights
        from mmskelssl.engine.checkpoint import load_part
        for theirs, ours in self.carry.items():
            load_part(unwrap(runner.model), self.checkpoint, ours, theirs)
        if is_main_process():
            names = (ours if ours == theirs else f'{ours} from {theirs}' for theirs, ours in self.carry.items())
            runner.logger.info(f'started from {self.checkpoint} ({", ".join(names)})')


class RunInfoHook(Hook):
    """Writes into each checkpoint what is needed to rebuild and to trace its model: plain strings and numbers.

    Resuming a checkpoint of another run is refused. In no registry, since every run has it and no config chooses it.

    Args:
        spec: What decides the run's result.
        allow_change: Resume all the same; the log says what differs. The run then continues with the optimiser's
            options and the schedules that the config has now, at the same share of its epoch.
    """

    def __init__(self, spec: RunSpec, allow_change: bool = False):
        self.spec, self.allow_change = spec, allow_change
        self.options: list[dict] = []  # of the optimiser's groups, as the config has them, if it has changed

    def before_save_checkpoint(self, runner, checkpoint):
        meta = checkpoint['meta']
        meta['mmskelssl'] = dict(self.spec.meta(), epoch=meta['epoch'], iteration=meta['iter'],
                                 epoch_length=len(runner.train_dataloader))

    def after_load_checkpoint(self, runner, checkpoint):
        from mmskelssl.engine.checkpoint import load_whole
        check_resumable(checkpoint, runner._load_from, runner.optim_wrapper, runner.param_schedulers)
        changes = refuse_changes(runner._load_from, checkpoint, self.spec, self.allow_change)
        for change in changes:
            runner.logger.warning(f'going on although {change}')
        load_whole(unwrap(runner.model), checkpoint, runner._load_from, '')
        if changes:
            self._adapt(runner, checkpoint)

    def _adapt(self, runner, checkpoint) -> None:
        """Translate the position into epochs of today's length, and leave the old schedules behind."""
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
        for step in range(1, runner.iter + 1):  # each continues its last value, so none can be set to a position
            for scheduler in schedulers:
                if not scheduler.by_epoch or step % length == 0:
                    scheduler.step()
