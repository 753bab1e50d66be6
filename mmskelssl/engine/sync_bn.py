"""Batch norm over the batches of all processes, for CPUs: torch's own implementation only supports GPUs."""
import torch
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmskelssl.models.modules.gather import summed
from mmskelssl.registry import MODEL_WRAPPERS


class SyncBatchNorm(_BatchNorm):
    """Uses the statistics of all processes in training, with gradients. In evaluation it is an ordinary batch norm."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or get_world_size() == 1:
            return super().forward(x)
        given, x = x.dtype, x.to(self.weight.dtype)  # bfloat16 cannot count beyond 256
        axes, shape = [0, *range(2, x.dim())], [1, -1] + [1] * (x.dim() - 2)
        count = summed(x.new_tensor(x.numel() / x.shape[1]))
        mean = summed(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = summed(centred.square().sum(axes)) / count
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None  # because `track_running_stats` is on
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        scale = (self.weight * (variance + self.eps).rsqrt()).view(shape)
        return (centred * scale + self.bias.view(shape)).to(given)


def synchronise(module: nn.Module) -> nn.Module:
    """Replace every batch norm in a module, keeping its tensors."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and child.affine and child.track_running_stats:
            twin = SyncBatchNorm(child.num_features, child.eps, child.momentum)
            twin.__dict__.update(_parameters=child._parameters, _buffers=child._buffers, training=child.training)
            setattr(module, name, twin)
        else:
            synchronise(child)
    return module


@MODEL_WRAPPERS.register_module()
class SyncBNDataParallel(MMDistributedDataParallel):
    """mmengine's distributed wrapper with synchronised batch norms."""

    def __init__(self, module: nn.Module, *args, **kwargs):
        super().__init__(synchronise(module), *args, **kwargs)
