"""bfloat16 training on any device."""
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper

from mmskelssl.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16, including on CPUs, which mmengine's AmpOptimWrapper does not support.

    bfloat16 has the exponent range of float32, so no loss scaling is needed.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
