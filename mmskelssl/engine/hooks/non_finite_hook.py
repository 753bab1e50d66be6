"""Stops training when the loss is NaN or infinite."""
import io
import os.path as osp

import numpy as np
import torch
from mmengine.hooks import Hook

from mmskelssl.atomic import write_atomically
from mmskelssl.datasets.batch_pipeline import StoredClips
from mmskelssl.errors import UserError
from mmskelssl.registry import HOOKS


def _some(names: list[str]) -> str:
    return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stops a run whose loss is NaN or infinite, names the samples of that batch, and saves the batch to a file."""
    priority = 'HIGH'  # before anything is measured or saved

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        # This does not synchronise the GPU again: mmengine's RuntimeInfoHook has already read the losses.
        if outputs and torch.is_tensor(outputs.get('loss')) and not outputs['loss'].isfinite():
            self._stop(runner, runner.iter, data_batch, outputs['loss'])

    @staticmethod
    def _stop(runner, iteration: int, batch, loss: torch.Tensor) -> None:
        dataset, batch = runner.train_dataloader.dataset, batch if isinstance(batch, dict) else {}
        given = batch.get('inputs', ())
        given = given.prepared()[0] if isinstance(given, StoredClips) else given
        groups = given if isinstance(given, dict) else {'': given}  # clips of several layouts are a dict
        groups = {name: torch.as_tensor(clips).cpu().numpy() for name, clips in groups.items()}  # may be on the device
        clips = [clip for group in groups.values() for clip in group]
        index = (batch.get('data_samples') or {}).get('index')
        index = np.arange(len(clips)) if index is None else torch.as_tensor(index).cpu().numpy()
        known = getattr(getattr(dataset, 'store', None), 'ids', None)
        name_of = getattr(dataset, 'name_of', lambda i: known[i] if known else str(i))
        ids = [name_of(i) for i in index]
        bad = [name for name, clip in zip(ids, clips, strict=True) if not np.isfinite(clip).all()]
        buffer = io.BytesIO()
        arrays: dict = {f'inputs_{name}' if name else 'inputs': group for name, group in groups.items()}
        np.savez(buffer, **arrays, index=index, ids=np.array(ids), iteration=iteration, loss=float(loss))
        path = osp.join(runner.work_dir, f'non_finite_iter_{iteration + 1}_rank{runner.rank}.npz')
        write_atomically(path, buffer.getvalue())
        cause = (f'the clips of {_some(bad)} are not finite: repair or leave them out' if bad else
                 'its clips are finite: lower the learning rate, or clip gradients (optim_wrapper.clip_grad)')
        raise UserError(f'the loss is {float(loss)} at iteration {iteration + 1}; {cause}. The batch ({_some(ids)}) '
                        f'is in {path}; --resume continues from the last checkpoint')
