"""Batch norm over the batches of all processes, for CPUs: torch's own implementation only supports GPUs."""
import torch
from mmengine.dist import all_gather, all_reduce, get_world_size
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from mmskelssl.models.modules.norm import update_running
from mmskelssl.registry import MODEL_WRAPPERS


class SyncBatchNorm(_BatchNorm):
    """Uses the statistics of all processes in training, with gradients. In evaluation it is an ordinary batch norm.

    It exchanges two small tensors, one forward and one backward, and computes with torch's kernels. The result is that
    of :func:`mmskelssl.models.modules.norm.batch_norm`.
    """
    running_mean: Tensor
    running_var: Tensor

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or get_world_size() == 1:
            return super().forward(x)
        with torch.no_grad():
            mean, variance, count = self.statistics(x)
            update_running(self, mean, variance, count)
        return _Normalise.apply(x, self.weight, self.bias, mean, variance, count, self.eps)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean (F,), biased variance (F,) and number of the values (1,) of each channel in all processes."""
        unused = self.running_mean.clone(), self.running_var.clone()  # they only set the type of the result
        own = torch.ops.aten.batch_norm_update_stats(x, *unused, 0.)
        counts = own[0].new_full((1,), x.numel() // x.shape[1])
        every = torch.stack(all_gather(torch.cat([*own, counts])))
        means, variances, counts = every.split([len(own[0]), len(own[1]), 1], 1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        return mean, (counts * (variances + (means - mean).square())).sum(0) / count, count


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: Tensor,
                eps: float) -> Tensor:
        """Normalise (N, F, ...) by the statistics of ``count`` values of each channel in all processes."""
        ctx.eps = eps
        ctx.save_for_backward(x, weight, mean, variance, count)
        return torch.batch_norm(x, weight, bias, mean, variance, False, 0., eps, False)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        # As if the statistics were constants ...
        made, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, None, None, False, ctx.eps, [True] * 3)
        # ... and what each value contributes through them, which is linear in its normalised value.
        sums = torch.stack([of_weight, of_bias])
        all_reduce(sums)
        slope, offset = -weight * (variance + ctx.eps).rsqrt() / count * sums
        made += torch.batch_norm(x, slope, offset, mean, variance, False, 0., ctx.eps, False)
        return made, of_weight, of_bias, None, None, None, None


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
