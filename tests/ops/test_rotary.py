"""The projection with one complex product gives the attention and the gradients of the plain one."""
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmskelssl.models.backbones.vit import rotations
from mmskelssl.ops import rotary
from mmskelssl.ops.attention import attention
from mmskelssl.ops.rotary import heads_of, plain_heads

CHANNELS, HEADS, WIDTH = 12, 2, 6


def layer(parts: int) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(CHANNELS, parts * CHANNELS).double()


def tokens(length: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, length, CHANNELS, generator=generator, dtype=torch.float64).requires_grad_()


def turn(persons: int, length: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    times = torch.rand(persons, length, generator=torch.Generator().manual_seed(2)) * 9
    return rotations(times, WIDTH, dtype)


@pytest.mark.parametrize('persons', [1, 3])
def test_self_attention(persons):
    """Of queries, keys and values, the first two turn."""
    x, project, turned = tokens(5), layer(3), turn(persons, 5)
    made = [attention(*function(x, project, HEADS, turned, 2), None) for function in (heads_of, plain_heads)]
    check(made, [x, *project.parameters()])


def test_cross_attention():
    """Queries are projected alone, and keys together with values."""
    x, known, query, both = tokens(5), tokens(4, 7), layer(1), layer(2)
    made = []
    for function in (heads_of, plain_heads):
        q, = function(x, query, HEADS, turn(1, 5), 1)
        made.append(attention(q, *function(known, both, HEADS, turn(3, 4), 1), None))
    check(made, [x, known, *query.parameters(), *both.parameters()])


def check(made, inputs):
    weights = torch.randn(made[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(*made, rtol=1e-13, atol=1e-14)
    for ours, plain in zip(*(torch.autograd.grad(one, inputs, weights) for one in made), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-13)


def test_gradients_that_are_not_contiguous():
    """Those of a sum repeat one number."""
    x, project = tokens(5), layer(3)
    grads = []
    for function in (heads_of, plain_heads):
        q, k, v = function(x, project, HEADS, turn(1, 5), 2)
        grads.append(torch.autograd.grad(q.sum() + k.mT.square().sum() + v.sum(), x)[0])
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-13)


def test_half_precision_turns_in_float32():
    x, project, turned = tokens(5).float(), layer(3).float(), turn(1, 5, torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        parts = heads_of(x, project, HEADS, turned, 2)
        assert [part.dtype for part in parts] == [torch.float32, torch.float32, torch.bfloat16]
        made = attention(*parts, None)
        plain = plain_heads(x, project, HEADS, turned, 2)
    expected = F.scaled_dot_product_attention(*(part.float() for part in plain))
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), expected, rtol=.02, atol=.02)
    grads = [torch.autograd.grad(one.float().square().sum(), project.weight)[0] for one in (made, expected)]
    torch.testing.assert_close(*grads, rtol=.05, atol=.05)


def test_other_devices_are_plain(monkeypatch):
    monkeypatch.setattr(rotary._Rotate, 'apply', lambda *_: pytest.fail('not plain'))
    turned = tuple(part.to('meta') for part in turn(1, 5))
    assert all(part.is_meta for part in heads_of(tokens(5).to('meta'), layer(3).to('meta'), HEADS, turned, 2))
