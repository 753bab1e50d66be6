"""Checkpoints of plain data only."""
from mmengine.hooks import Hook

from mmskelssl.engine.safe_io import install_safe_io
from mmskelssl.engine.unpickle import to_plain
from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Turn everything in a checkpoint but its tensors into plain data before it is written.

    Any reader can then open it with ``weights_only=True``. What has no plain form is left out, with a warning.
    """
    priority = 'LOWEST'  # after the hooks that add something

    def before_run(self, runner) -> None:
        install_safe_io()  # also for a Runner that was not started by ours; mmengine cannot resume on torch >= 2.6

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        dropped: list[str] = []
        for key in checkpoint:
            if key != 'state_dict':
                checkpoint[key] = to_plain(checkpoint[key], key, dropped)
        if dropped:
            runner.logger.warning(f'not saved, since it is not plain data: {", ".join(dropped)}')
