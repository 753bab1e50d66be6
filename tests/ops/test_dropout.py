"""Dropout by coin flips: the mask equals a bit-by-bit computation and is fair."""
import math

import pytest
import torch

from mmskelssl.ops.dropout import Dropout, coin_flips, dropout, plain_coin_flips


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize('shape', [(3, 5, 7, 4), (130,), (1, 1)])
def test_the_table_gives_the_bits(shape, dtype):
    x = torch.randn(shape).to(dtype)
    words = torch.empty((x.numel() + 63) // 64, dtype=torch.int64).random_(-2**63, None)
    assert torch.equal(coin_flips(words, x), plain_coin_flips(words, x))


@pytest.mark.parametrize('layout', ['contiguous', 'channels_last', 'strided'])
def test_values_and_gradient_are_those_of_the_plain_mask(layout):
    x = torch.randn(2, 6, 5, 9, dtype=torch.float64)
    x = dict(contiguous=x, channels_last=x.to(memory_format=torch.channels_last), strided=x.transpose(0, 3))[layout]
    x.requires_grad_()
    torch.manual_seed(3)
    out = dropout(x, .5)
    torch.manual_seed(3)
    words = torch.empty((x.numel() + 63) // 64, dtype=torch.int64).random_(-2**63, None)
    mask = plain_coin_flips(words, x)
    assert torch.equal(out, x * mask)
    assert torch.equal(torch.autograd.grad(out, x, torch.full_like(out, 3.))[0], 3 * mask)


def test_dropout_is_fair_and_unbiased():
    torch.manual_seed(0)
    x = torch.ones(8, 16, 25, 25).to(memory_format=torch.channels_last)
    y = Dropout(.5)(x)
    assert set(y.unique().tolist()) == {0., 2.} and y.stride() == x.stride()
    assert abs(y.mean().item() - 1) < 4 / math.sqrt(x.numel())
    correlation = ((y - 1) * (y.roll(1, 1) - 1)).mean().item()
    assert abs(correlation) < 4 / math.sqrt(x.numel())
    assert torch.equal(Dropout(.5).eval()(x), x)


def test_other_rates_are_those_of_torch():
    x = torch.randn(4, 30)
    torch.manual_seed(0)
    out = dropout(x, .2)
    torch.manual_seed(0)
    assert torch.equal(out, torch.nn.functional.dropout(x, .2))
    assert dropout(x, .5, training=False) is x and dropout(x, 0.) is x
