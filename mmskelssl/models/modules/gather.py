"""The batches of all processes as one batch."""
import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


def gather(x: Tensor) -> Tensor:
    """Concatenate the tensors (N, ...) of all processes in the order of their ranks, with gradient.

    The wrapper of distributed training averages gradients over the processes. The gradient of a process's rows is
    therefore the sum over the losses of all processes. The average of the losses then has the gradient that one
    process with the whole batch would compute, whether each process computes the loss of its own rows or of all rows.

    Args:
        x: (N, ...). N is the same in all processes.

    Returns:
        (processes * N, ...). In a single process, ``x`` itself.
    """
    return _Gather.apply(x) if get_world_size() > 1 else x


def own_rows(count: int, device: torch.device) -> Tensor:
    """Return the positions (count,) of this process's rows among the rows that :func:`gather` returns."""
    return torch.arange(count, device=device) + get_rank() * count


def summed(x: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, with gradient. Its gradient is summed, too."""
    return _Sum.apply(x)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()  # the reduction works in place
        all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        all_reduce(grad)
        return grad


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return torch.cat(all_gather(x.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        all_reduce(grad)
        return grad[get_rank() * ctx.rows:][:ctx.rows]
