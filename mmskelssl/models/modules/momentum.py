"""Momentum (key) encoder."""
import copy
import math

import torch
from torch import Tensor, nn

from mmskelssl.models.checks import check_choice, check_number


class MomentumEncoder(nn.Module):
    """A copy of the online modules that follows them as an exponential moving average.

    The copy is taken again at the first :meth:`update`. It therefore starts equal to the online modules, regardless
    of how they were initialised or loaded. A resumed run has already made updates and keeps its stored copy.

    Args:
        momentum: Momentum in the papers' convention: ``key = momentum * key + (1 - momentum) * online``.
        final_momentum: If set, the momentum rises to this value along a cosine during training.
        buffers: Treatment of BN statistics. With ``own`` the key encoder collects its own statistics, ``copy`` copies
            those of the online modules, and ``ema`` averages them like the parameters.
        **modules: Online modules by name. Their copies become attributes of the same name.
    """

    backbone: nn.Module
    projector: nn.Module
    heads: nn.ModuleDict
    updates: Tensor

    def __init__(self, momentum: float = 0.999, final_momentum: float | None = None, buffers: str = 'own',
                 **modules: nn.Module):
        super().__init__()
        check_choice('momentum.buffers', buffers, ('own', 'copy', 'ema'))
        check_number('momentum.momentum', momentum, 0, 1, instead="; mmengine's EMA uses 1 - momentum")
        if final_momentum is not None:
            check_number('momentum.final_momentum', final_momentum, 0, 1)
        self.momentum, self.final_momentum, self.buffer_policy = momentum, final_momentum, buffers
        self._online = (modules,)  # in a tuple, so that the online modules are not registered twice
        for name, module in modules.items():
            self.add_module(name, copy.deepcopy(module).requires_grad_(False))
        self.register_buffer('updates', torch.zeros((), dtype=torch.long))
        self._started = False

    def momentum_at(self, progress: float) -> float:
        """Return the momentum after the fraction ``progress`` of the training."""
        if self.final_momentum is None:
            return self.momentum
        gap = self.final_momentum - self.momentum
        return self.final_momentum - gap * (math.cos(math.pi * min(progress, 1.)) + 1) / 2

    @torch.no_grad()
    def start(self) -> None:
        """Copy the online modules unless updates have been made before. Called by :meth:`update`."""
        if not self._started and int(self.updates) == 0:
            torch._foreach_copy_(self._tensors('parameters'), self._online_tensors('parameters'))
            self._follow_buffers(1.)
        self._started = True

    @torch.no_grad()
    def update(self, progress: float = 0.) -> None:
        """Move towards the online modules.

        Args:
            progress: Completed fraction of the training, used for a rising momentum.
        """
        self.start()
        self.updates += 1
        weight = 1 - self.momentum_at(progress)
        torch._foreach_lerp_(self._tensors('parameters'), self._online_tensors('parameters'), weight)
        if self.buffer_policy != 'own':
            self._follow_buffers(1. if self.buffer_policy == 'copy' else weight)

    def _online_tensors(self, kind: str) -> list[Tensor]:
        return [t for module in self._online[0].values() for t in getattr(module, kind)()]

    def _tensors(self, kind: str) -> list[Tensor]:
        return [t for name in self._online[0] for t in getattr(getattr(self, name), kind)()]

    def _follow_buffers(self, weight: float) -> None:
        for key, query in zip(self._tensors('buffers'), self._online_tensors('buffers'), strict=True):
            if key.is_floating_point():
                key.lerp_(query, weight)
            else:
                key.copy_(query)
