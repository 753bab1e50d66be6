"""Logs the time of a step: by the clock, and of the processor."""
import time

from mmengine.hooks import IterTimerHook

from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class TimerHook(IterTimerHook):
    """mmengine's timer, which also logs ``cpu_time``.

    ``cpu_time`` is the CPU seconds of a step, of all threads of this process. It includes the reading of the batch, but
    not data workers and what happens between epochs. On a busy machine, it is the fairer measure of a run's cost.
    """

    def before_train_epoch(self, runner):
        super().before_train_epoch(runner)
        self._cpu = time.process_time()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        now = time.process_time()
        runner.message_hub.update_scalar('train/cpu_time', now - self._cpu)
        self._cpu = now
