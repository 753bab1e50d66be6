"""A hook: the encoder's weight norm as a curve of the run."""
import torch
from mmengine.hooks import Hook

from mmskelssl.engine.hooks.training import unwrap
from mmskelssl.registry import HOOKS


@HOOKS.register_module()
class WeightNormHook(Hook):
    """After each epoch, log the L2 norm of all backbone weights as ``backbone_norm``."""
    decides_result = False  # it only observes, so a resumed run may add or remove it

    def after_train_epoch(self, runner):
        weights = [p.detach().flatten() for p in unwrap(runner.model).backbone.parameters()]
        runner.visualizer.add_scalar('backbone_norm', float(torch.cat(weights).norm()), step=runner.iter)
