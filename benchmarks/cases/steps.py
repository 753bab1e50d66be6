"""Training steps without the framework around them, shared by the cases of whole steps."""
import itertools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from benchmarks.measure import Case, count_flops, difference, gradients
from mmskelssl.models import Progress


def step(model, optimizer, views, samples=None, bf16: bool = False):
    """A training step of one of our models, without the framework around it."""
    with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
        losses = model.loss(views, samples or {})
        total = sum(value for name, value in losses.items() if 'loss' in name)
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    return total.detach()


def sgd(model) -> torch.optim.Optimizer:
    """The papers' optimiser, the same for both arms."""
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3, momentum=.9, weight_decay=1e-4)


def progress(iteration: int) -> Progress:
    """Progress of a run of a thousand steps."""
    return Progress(0, iteration, 1000)


def step_case(model: nn.Module, plain: nn.Module, views: dict[str, Tensor], plain_loss: Callable[[], Tensor],
              bf16: bool, products: bool = False) -> Case:
    """A step of either arm. ``plain_loss`` sees the model at the iteration that the model itself sees."""
    ours_optimizer, plain_optimizer, iterations = sgd(model), sgd(plain), itertools.count()

    def ours():
        model.set_progress(progress(next(iterations)))
        step(model, ours_optimizer, views, bf16=bf16)

    def reference():
        model.set_progress(progress(next(iterations)))
        loss = plain_loss()
        plain_optimizer.zero_grad()
        loss.backward()
        plain_optimizer.step()

    n = len(next(iter(views.values())))
    return Case(ours, reference, n, count_flops(ours), dtype=torch.bfloat16 if bf16 else torch.float32,
                products=products)


def compare_steps(model: nn.Module, plain: nn.Module, views: Callable[[int], dict[str, Tensor]],
                  plain_loss: Callable[[dict[str, Tensor]], Tensor], plain_queue: Callable[[], Tensor],
                  parts: Mapping[str, str]) -> float:
    """Largest difference of loss, queue and every gradient in two steps, with an update of the weights in between.

    Args:
        views: Views of an iteration.
        plain_queue: The plain arm's keys, in the format of the model's queue.
        parts: Trainable module of the model -> the plain arm's module.
    """
    found, optimizers = [], (sgd(model), sgd(plain))
    for iteration in range(2):
        made = views(iteration)
        model.set_progress(progress(iteration))
        theirs = plain_loss(made)
        theirs.backward()
        total = sum(value for name, value in model.loss(made, {}).items() if 'loss' in name)
        total.backward()
        found += [difference(total, theirs), difference(model.queue.keys, plain_queue()),
                  gradients(model, plain, parts)]
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return max(found)
