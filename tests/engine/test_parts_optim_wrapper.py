"""Gradients are clipped part by part, also in bfloat16 and by the optimiser that a config describes."""
import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmskelssl.engine.precision import BF16OptimWrapper, PartsOptimWrapper
from mmskelssl.errors import UserError


class Model(BaseModel):
    """Three layers whose gradients have different lengths."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.heads, self.rest = nn.Linear(3, 3), nn.ModuleDict(dict(a=nn.Linear(3, 3))), nn.Linear(3, 3)

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=(10 * self.backbone(inputs) + self.heads['a'](inputs) + .001 * self.rest(inputs)).sum())


def step(kind, **options):
    model = Model()
    wrapper = kind(torch.optim.SGD(model.parameters(), 1.), **copy.deepcopy(options))
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.train_step(dict(inputs=torch.ones(2, 3)), wrapper)
    moved = {name: before[name] - value for name, value in model.named_parameters()}

    def norm(part):
        return torch.cat([value.flatten() for name, value in moved.items() if name.startswith(part)]).norm().item()
    return [norm(part) for part in ('backbone', 'heads.a', 'rest')], wrapper


@pytest.mark.parametrize('kind', [PartsOptimWrapper, BF16OptimWrapper])
def test_parts(kind):
    whole, _ = step(kind, clip_grad=dict(max_norm=.5))
    assert sum(norm ** 2 for norm in whole) ** .5 == pytest.approx(.5, rel=1e-2)
    parts, wrapper = step(kind, clip_grad=dict(max_norm=.5), clip_parts=['backbone', 'heads.a'])
    free, _ = step(kind)
    assert parts == pytest.approx([.5, .5, free[2]], rel=1e-2) and free[2] < .1
    logged = wrapper.message_hub.get_scalar('train/grad_norm').current()
    assert logged == pytest.approx(sum(norm ** 2 for norm in free) ** .5, rel=1e-2)


@pytest.mark.parametrize('options, message', [
    (dict(clip_grad=dict(max_norm=1), clip_parts='backbone'), 'it must be a list of names'),
    (dict(clip_parts=['backbone']), 'has no effect without clip_grad'),
    (dict(clip_grad=dict(max_norm=1), clip_parts=['neck']), "the model has no module 'neck'"),
    (dict(clip_grad=dict(max_norm=1), clip_parts=['heads', 'heads.a']), 'share parameters')])
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        step(PartsOptimWrapper, **options)
