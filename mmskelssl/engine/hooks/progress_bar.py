"""Shows the progress and the remaining time of a run, and warns when it becomes slow."""
import atexit
import datetime
import statistics
import sys
import time
from collections import deque

from mmengine.hooks import Hook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmskelssl.registry import HOOKS

# STEPS: number of steps that the pace is measured over, after one warm-up step.
# SEVERAL: factor by which the pace may grow before it is reported.
STEPS, SEVERAL = 10, 4


class Pace:
    """Seconds per step, of the first steps and of the recent ones."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.recent: deque[float] = deque(maxlen=STEPS)
        self.slow = False

    def add(self, seconds: float) -> str | None:
        """Count a step.

        Returns:
            ``first`` when the pace becomes known, ``slow`` when steps take several times as long, else None. A slow
            run is reported once, and again only after it has recovered its speed.
        """
        self.recent.append(seconds)
        if len(self.recent) < STEPS:
            return None
        if self.first is None:
            self.first = self.now
            return 'first'
        slow = self.now > SEVERAL * self.first
        if slow == self.slow or (self.slow and self.now > 2 * self.first):
            return None
        self.slow = slow
        return 'slow' if slow else None

    @property
    def now(self) -> float:
        """Median of the recent steps, which ignores single pauses such as the writing of a checkpoint."""
        return statistics.median_low(self.recent)


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows finished iterations, loss, elapsed time and remaining time.

    On a terminal the hook draws a progress bar. In all cases it logs the expected duration after the first steps, and a
    warning when steps take several times as long as the first ones.
    """
    priority = 'VERY_LOW'
    decides_result = False  # observes only

    def before_train(self, runner):
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                   TextColumn('eta'), TimeRemainingColumn(), TextColumn('{task.fields[loss]}'))
        self.bar = Progress(*columns, disable=runner.rank > 0 or not sys.stdout.isatty())
        self.task = self.bar.add_task(type(runner.model).__name__, total=runner.max_iters, completed=runner.iter,
                                      loss='')
        self.bar.start()
        atexit.register(self.bar.stop)  # restores the cursor if the run ends early
        self.pace, self.last = Pace(), None

    def before_train_epoch(self, runner):
        self.last = None  # the time between epochs and the first batch of an epoch do not count as a step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = time.perf_counter()
        if self.last is not None and runner.rank == 0:
            self._report(runner, self.pace.add(now - self.last))
        self.last = now
        if not self.bar.disable and (runner.iter + 1) % 10 == 0:
            loss = f'loss {float(outputs["loss"]):.3f}' if outputs and 'loss' in outputs else ''
            self.bar.update(self.task, completed=runner.iter + 1, loss=loss)

    def _report(self, runner, what: str | None) -> None:
        left = runner.max_iters - runner.iter - 1
        eta = datetime.timedelta(seconds=round(left * self.pace.now))
        if what == 'first':
            runner.logger.info(f'ETA {eta}: {left} steps of {self.pace.now:.2g} s, excluding the time between epochs')
        elif what == 'slow':
            runner.logger.warning(f'steps take {self.pace.now:.2g} s, {self.pace.now / self.pace.first:.0f} times what '
                                  f'the first ones took; ETA {eta}. Do other processes keep the cores busy? With '
                                  'OMP_NUM_THREADS=1 a run waits less for them')

    def after_train(self, runner):
        self.bar.update(self.task, completed=runner.iter)
        self.bar.stop()
