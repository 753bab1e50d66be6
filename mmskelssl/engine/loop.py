"""A training loop that can start in the middle of an epoch."""
from mmengine.runner import EpochBasedTrainLoop

from mmskelssl.engine.randomness import restore_random_state
from mmskelssl.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's epoch-based loop that resumes exactly after any iteration.

    If a checkpoint contains a ``random_state``, it is restored at the point where it was saved: before an epoch, or
    within an epoch after the finished batches have been skipped.
    """
    random_state: dict | None = None

    def run_epoch(self) -> None:
        done = self._iter - self._epoch * len(self.dataloader)
        if not done:
            self._restore()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = iter(self.dataloader)
        for _ in range(done):
            next(batches)
        self._restore()
        for i, batch in enumerate(batches, done):
            self.run_iter(i, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _restore(self) -> None:
        if self.random_state:
            restore_random_state(self.random_state)
        self.random_state = None
