"""``torch.compile``, of the encoders or of the whole loss, and CUDA graphs of it."""
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.models.base import SelfSupervisedModel

PARTS = ('encoders', 'loss', 'graph')


def compile_model(model: nn.Module, given: bool | str | Mapping) -> None:
    """Compile the parts of a model that the key ``compile`` of a config names.

    Args:
        model: A method, or a distributed wrapper of one.
        given: One of :data:`PARTS`, or a dict with ``part`` and arguments of ``torch.compile``. True means the
            encoders. ``graph`` is the loss as CUDA graphs, one of the forward and one of the backward pass, without
            fusing its operations.

    Raises:
        UserError: If a CUDA graph is requested without a GPU.
    """
    options = dict(given) if isinstance(given, Mapping) else dict(part=given if isinstance(given, str) else 'encoders')
    part, model = options.pop('part', 'encoders'), getattr(model, 'module', model)
    if part == 'encoders':
        compile_encoders(model, **options)
        return
    if part == 'graph':
        if not torch.cuda.is_available():
            raise UserError("compile: a CUDA graph needs a GPU; use 'loss' or 'encoders'")
        options = dict(backend='cudagraphs') | options
    compile_loss(cast(SelfSupervisedModel, model), **options)


def compile_encoders(model: nn.Module, **options) -> None:
    """Apply ``torch.compile`` with these options to the backbone and every copy of it (key encoder, teacher).

    The names in the state dict do not change, so checkpoints are the same as without. The first steps take a minute or
    more.
    """
    encoder: type = type(getattr(model, 'module', model).backbone)
    for module in model.modules():
        if type(module) is encoder:
            module.compile(**options)


def compile_loss(model: SelfSupervisedModel, **options) -> None:
    """Apply ``torch.compile`` with these options to the whole loss: encoders, mixing, losses and queue.

    What changes from step to step without being a tensor comes before: random numbers from the preprocessor's generator
    (:meth:`SelfSupervisedModel.draw`) and the update of the key encoder (:meth:`MomentumModel.update_key`). The first
    step is not compiled. It makes the constants on the device (:mod:`mmskelssl.ops.constants`).
    """
    plain, update = model.loss, getattr(model, 'update_key', None)
    compiled, first = torch.compile(plain, **options), True

    def loss(views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        nonlocal first
        if first:
            first = False
            return plain(views, data_samples)
        draws = model.draw(views)
        if update:
            update()
        return compiled(views, {**data_samples, 'draws': draws})
    model.loss = loss  # type: ignore[method-assign]
