"""The training loop: mmengine's, which can also start in the middle of an epoch."""
from mmengine.runner import EpochBasedTrainLoop

from mmskelssl.engine.randomness import restore_random_state
from mmskelssl.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Goes on after any iteration as if nothing had happened.

    ``random_state``, if a checkpoint brought one, is put back where it was taken: before an epoch, or within one once
    the batches that are already done have been passed over.
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
