"""No training on NaN."""
import io
import os.path as osp

import numpy as np
import torch
from mmengine.hooks import Hook

from mmskelssl.engine.atomic import write_atomically
from mmskelssl.errors import UserError
from mmskelssl.registry import HOOKS


def _some(names: list[str]) -> str:
    return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stops a run whose loss is NaN or infinite, names the samples of that batch, and leaves the batch in a file.

    On a GPU the losses are looked at together every few iterations, so that it need not wait for each.

    Args:
        interval: Iterations between two looks on a GPU.
    """
    priority = 'HIGH'  # before anything is measured or saved

    def __init__(self, interval: int = 10):
        self.interval, self.recent = interval, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if outputs and torch.is_tensor(outputs.get('loss')):
            self.recent.append((runner.iter, data_batch, outputs['loss'].detach()))
            if not outputs['loss'].is_cuda or len(self.recent) == self.interval:
                self._look(runner)

    def after_train_epoch(self, runner):
        self._look(runner)

    def _look(self, runner) -> None:
        recent, self.recent = self.recent, []
        if recent and not torch.stack([loss for *_, loss in recent]).isfinite().all():
            self._stop(runner, *next(entry for entry in recent if not entry[2].isfinite()))

    @staticmethod
    def _stop(runner, iteration: int, batch, loss: torch.Tensor) -> None:
        dataset, batch = runner.train_dataloader.dataset, batch if isinstance(batch, dict) else {}
        inputs = np.asarray(batch.get('inputs', np.empty(0)))
        index = np.asarray((batch.get('data_samples') or {}).get('index', np.arange(len(inputs))))
        known = getattr(getattr(dataset, 'store', None), 'ids', None)
        ids = [known[i] if known else str(i) for i in index]
        bad = [name for name, clip in zip(ids, inputs, strict=True) if not np.isfinite(clip).all()]
        buffer = io.BytesIO()
        np.savez(buffer, inputs=inputs, index=index, ids=np.array(ids), iteration=iteration, loss=float(loss))
        path = osp.join(runner.work_dir, f'non_finite_iter_{iteration + 1}_rank{runner.rank}.npz')
        write_atomically(path, buffer.getvalue())
        cause = (f'the clips of {_some(bad)} are not finite: repair or leave them out' if bad else
                 'its clips are finite: lower the learning rate, or clip gradients (optim_wrapper.clip_grad)')
        raise UserError(f'the loss is {float(loss)} at iteration {iteration + 1}; {cause}. The batch ({_some(ids)}) '
                        f'is in {path}; --resume goes on from the last checkpoint')
