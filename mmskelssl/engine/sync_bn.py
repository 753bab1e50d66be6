"""Batch norm over the batches of all processes, for CPUs: torch's own implementation only supports GPUs."""
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmskelssl.models.modules.norm import batch_norm
from mmskelssl.registry import MODEL_WRAPPERS


class SyncBatchNorm(_BatchNorm):
    """Uses the statistics of all processes in training, with gradients. In evaluation it is an ordinary batch norm."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or get_world_size() == 1:
            return super().forward(x)
        return batch_norm(self, x, synchronised=True)


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
