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
    """Apply ``torch.compile`` with these options to the whole loss: encoders, mixing, queue and update of the key.

    Random numbers from the preprocessor's generator are drawn before (:meth:`SelfSupervisedModel.draw`).
    """
    compiled, start = torch.compile(model.loss, **options), getattr(getattr(model, 'key_encoder', None), 'start', None)

    def loss(views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        if start:
            start()  # reads the number of updates, once
        return compiled(views, {**data_samples, 'draws': model.draw(views)})
    model.loss = loss  # type: ignore[method-assign]
