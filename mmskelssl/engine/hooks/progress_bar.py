"""A progress bar on terminals."""
import atexit
import sys

from mmengine.hooks import Hook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Iterations done, loss, elapsed and remaining time. Where the output is no terminal the log lines must do."""
    priority = 'VERY_LOW'
    decides_result = False  # it only observes

    def before_train(self, runner):
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn('eta'), TimeRemainingColumn(), TextColumn('{task.fields[loss]}'))
        self.bar = Progress(*columns, disable=runner.rank > 0 or not sys.stdout.isatty())
        self.task = self.bar.add_task(type(runner.model).__name__, total=runner.max_iters, completed=runner.iter,
                                      loss='')
        self.bar.start()
        atexit.register(self.bar.stop)  # a run that ends early must not take the cursor with it

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.bar.disable and (runner.iter + 1) % 10 == 0:
            loss = f'loss {float(outputs["loss"]):.3f}' if outputs and 'loss' in outputs else ''
            self.bar.update(self.task, completed=runner.iter + 1, loss=loss)

    def after_train(self, runner):
        self.bar.update(self.task, completed=runner.iter)
        self.bar.stop()
