"""The rotation without temporary tensors gives the values and gradients of the plain one."""
import pytest
import torch

from mmskelssl.models.backbones.vit import rotations
from mmskelssl.ops import rotary
from mmskelssl.ops.rotary import plain_rotate, rotate


@pytest.mark.parametrize('persons', [1, 3])
def test_values_and_gradients(persons):
    generator = torch.Generator().manual_seed(0)
    turn = rotations(torch.rand(persons, 5, generator=generator) * 9, 8, torch.float64)
    x = torch.randn(3, 5, 3, 2, 8, generator=generator, dtype=torch.float64).requires_grad_()
    query = x.permute(2, 0, 3, 1, 4)[0]  # (P, heads, L, D / heads), as from a joint projection
    made = [function(query, turn) for function in (rotate, plain_rotate)]
    weights = torch.randn(made[0].shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(*made, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(*(torch.autograd.grad(one, x, weights)[0] for one in made), rtol=1e-14, atol=1e-14)


def test_other_cases_are_plain(monkeypatch):
    """Under autocast, queries are bfloat16 and angles float32."""
    monkeypatch.setattr(rotary._Rotate, 'apply', lambda *_: pytest.fail('not plain'))
    turn = rotations(torch.arange(5.)[None], 8, torch.float32)
    assert rotate(torch.ones(1, 1, 5, 8, dtype=torch.bfloat16), turn).dtype == torch.float32
    assert rotate(torch.ones(1, 1, 5, 8, device='meta'), tuple(part.to('meta') for part in turn)).is_meta
