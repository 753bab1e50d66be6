"""Keeps checkpoints free of pickled objects."""
from mmengine.hooks import Hook

from mmskelssl.engine.safe_io import install_safe_io
from mmskelssl.engine.unpickle import to_plain
from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Converts everything in a checkpoint except its tensors to plain data before it is written.

    Any reader can then open it with ``weights_only=True``. Values without a plain form are left out with a warning.
    """
    priority = 'LOWEST'  # after the hooks that add to the checkpoint

    def before_run(self, runner) -> None:
        install_safe_io()  # also for a stock Runner; mmengine alone cannot resume on torch >= 2.6

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        dropped: list[str] = []
        schedulers = checkpoint.get('param_schedulers')
        if isinstance(schedulers, list):  # OneCycleLR counts its function as state, and has it again when it is built
            checkpoint['param_schedulers'] = [{key: value for key, value in state.items() if not callable(value)}
                                              for state in schedulers]
        for key in checkpoint:
            if key != 'state_dict':
                checkpoint[key] = to_plain(checkpoint[key], key, dropped)
        if dropped:
            runner.logger.warning(f'not saved, since it is not plain data: {", ".join(dropped)}')
