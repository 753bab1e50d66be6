"""Writes checkpoints and records each of them in a manifest."""
import os.path as osp
import signal

from mmengine.dist import all_gather_object, barrier, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook as _CheckpointHook

from mmskelssl.atomic import file_hash, write_atomically
from mmskelssl.engine.randomness import random_state
from mmskelssl.engine.stopping import Stopped, stop_requested
from mmskelssl.engine.work_dir import prune, read_manifest, write_manifest
from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_integer
from mmskelssl.provenance import versions
from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """mmengine's checkpoint hook, made safe: a run that is killed at any moment can be resumed exactly.

    The order of the steps matters. The new file is written, read back and renamed. Then its hash is added to
    ``manifest.json``, and ``last_checkpoint`` is set to its name. Only then are old checkpoints removed. Weights that
    are not finite are never written. After SIGTERM, SIGINT or SIGUSR1 the hook finishes the iteration, saves the run as
    ``iter_N.pth`` and stops it.

    mmengine's other arguments are refused: without a validation loop there is no best checkpoint, and resuming, later
    stages and the commands look for complete checkpoints of finished epochs, ``epoch_N.pth`` in the work_dir.

    Args:
        interval: Number of epochs between two checkpoints. The last epoch is always saved; -1 saves it alone.
        max_keep_ckpts: Number of checkpoints to keep, or -1 for all.
        save_begin: First epoch from which ``interval`` counts.
    """

    def __init__(self, interval: int = -1, max_keep_ckpts: int = -1, save_begin: int = 0):
        for name, value in (('interval', interval), ('max_keep_ckpts', max_keep_ckpts)):
            if value != -1:
                check_integer(f'CheckpointHook: {name}', value, instead=', or -1')
        check_integer('CheckpointHook: save_begin', save_begin, 0)
        # With max_keep_ckpts, mmengine would delete old files before it writes the new one.
        super().__init__(interval, save_begin=save_begin)
        self.keep = max_keep_ckpts
        self.random_states: list[dict] = []

    def after_load_checkpoint(self, runner, checkpoint):
        folder, name = osp.split(runner._load_from)
        manifest = read_manifest(folder)
        if is_main_process() and folder == runner.work_dir and name not in manifest:  # killed before it was listed
            write_manifest(folder, {**manifest, name: self._entry(runner._load_from, checkpoint['meta'])})
        states = checkpoint['meta'].get('random') or []
        if len(states) == get_world_size():
            runner.train_loop.random_state = states[runner.rank]
        else:
            runner.logger.warning(f'the checkpoint has generator states of {len(states)} processes, this run has '
                                  f'{get_world_size()}: it continues with different random numbers')

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint['meta']['random'] = self.random_states
        bad = [name for name, value in checkpoint['state_dict'].items()
               if value.is_floating_point() and not value.isfinite().all()]
        if bad:
            raise UserError(f'{bad[0]} holds NaN or infinite values after iteration {runner.iter}, so nothing is '
                            'saved; resume from the last checkpoint with a lower learning rate or gradient clipping')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        number = stop_requested(runner.iter)
        if number:
            step = runner.iter + 1
            path = self._write(runner, f'iter_{step}.pth', dict(epoch=runner.epoch, iter=step))
            runner.logger.info(f'stopped by {signal.Signals(number).name} and saved as {path}: to continue, run '
                               'the same command with --resume')
            raise Stopped(number)

    def _save_checkpoint_with_step(self, runner, step, meta):
        self._write(runner, self.filename_tmpl.format(step), meta)

    def _write(self, runner, name: str, meta: dict) -> str:
        """Save and list a checkpoint, then prune old ones. Only the main process writes, for all generator states."""
        self.random_states = all_gather_object(random_state())
        path = self.last_ckpt = osp.join(self.out_dir, name)
        if is_main_process():
            manifest = read_manifest(self.out_dir)
            if manifest.pop(name, None):  # the hash of an earlier file with this name
                write_manifest(self.out_dir, manifest)
            runner.save_checkpoint(self.out_dir, name, save_optimizer=self.save_optimizer,
                                   save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
                                   backend_args=self.backend_args, **self.args)
            manifest[name] = self._entry(path, meta)
            write_manifest(self.out_dir, manifest)
            write_atomically(osp.join(self.out_dir, 'last_checkpoint'), name.encode())
            prune(self.out_dir, self.keep)
        barrier()
        return path

    @staticmethod
    def _entry(path: str, meta: dict) -> dict:
        info = meta.get('mmskelssl', {})
        return dict(epoch=meta['epoch'], iter=meta['iter'], sha256=file_hash(path), bytes=osp.getsize(path),
                    **{key: info.get(key) for key in ('config_hash', 'data_hash', 'world_size')},
                    versions=versions())
