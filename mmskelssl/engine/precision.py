"""Wrappers of the optimiser: gradient clipping by part of the model, and bfloat16 training on any device."""
from collections.abc import Sequence
from contextlib import contextmanager
from typing import cast

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper

from mmskelssl.errors import UserError
from mmskelssl.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class PartsOptimWrapper(OptimWrapper):
    """mmengine's ``OptimWrapper`` that can clip the gradients of parts of the model separately.

    Args:
        clip_parts: Dotted names of modules, such as ``backbone`` or ``heads.cls``. ``clip_grad`` applies to each of
            them by itself, and to all other parameters together.
        **kwargs: Arguments of ``OptimWrapper``.

    Raises:
        UserError: In the first step, if the model has no such module, or one of them contains another.
    """

    def __init__(self, *args, clip_parts: Sequence[str] = (), **kwargs):
        super().__init__(*args, **kwargs)
        if isinstance(clip_parts, str) or not all(isinstance(name, str) for name in clip_parts):
            raise UserError(f'optim_wrapper.clip_parts is {clip_parts!r}; it must be a list of names of modules')
        if clip_parts and self.clip_grad_kwargs is None:
            raise UserError('optim_wrapper.clip_parts has no effect without clip_grad: set both, or none')
        self.clip_parts = tuple(clip_parts)
        self._parts: list[list[torch.nn.Parameter]] | None = None

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        if self.clip_parts and self._parts is None:
            self._parts = self._divide(cast(torch.nn.Module, model.module if is_model_wrapper(model) else model))
        with super().optim_context(model):
            yield

    def _divide(self, model: torch.nn.Module) -> list[list[torch.nn.Parameter]]:
        """Return the parameters of each part, and the rest of those that are optimised."""
        modules = dict(model.named_modules())
        unknown = next((name for name in self.clip_parts if not name or name not in modules), None)
        if unknown is not None:
            raise UserError(f'optim_wrapper.clip_parts: the model has no module {unknown!r}')
        parts = [list(modules[name].parameters()) for name in self.clip_parts]
        taken = [id(parameter) for part in parts for parameter in part]
        if len(set(taken)) < len(taken):
            raise UserError(f'optim_wrapper.clip_parts: {", ".join(self.clip_parts)} share parameters; name each only '
                            'once')
        others = {*taken}
        return [*parts, [parameter for group in self.optimizer.param_groups for parameter in group['params']
                         if id(parameter) not in others]]

    def _clip_grad(self) -> None:
        if self._parts is None:
            super()._clip_grad()
            return
        norms = []
        for part in self._parts:
            parameters = [parameter for parameter in part if parameter.grad is not None]
            if parameters:
                norms.append(self.clip_func(parameters, **self.clip_grad_kwargs))
        if norms and norms[0] is not None:  # clipping by value returns nothing
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(torch.stack(norms).square().sum().sqrt()))


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(PartsOptimWrapper):
    """Autocast to bfloat16, including on CPUs, which mmengine's AmpOptimWrapper does not support.

    bfloat16 has the exponent range of float32, so no loss scaling is needed.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
