"""Frequency-domain convolution: values and gradients equal the direct one, and when it is not used."""
import pytest
import torch

from mmskelssl.models.backbones import STGCN
from mmskelssl.ops import temporal_conv as module
from mmskelssl.ops.temporal_conv import TemporalConv, plain_temporal_conv, temporal_conv


@pytest.fixture
def used(monkeypatch) -> list:
    """List the shapes for which the frequency domain is used."""
    calls, apply = [], module._FrequencyConv.apply
    monkeypatch.setattr(module._FrequencyConv, 'apply', lambda x, *args: calls.append(x.shape) or apply(x, *args))
    return calls


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(module, '_pays', lambda *args: True)


def inputs(t, n=3, c=6, c_out=4, taps=9, v=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(t)
    made = ((n, c, t, v), (c_out, c, taps, 1), (c_out,))
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in made]


def results(function, args, *options):
    out = function(*args, *options)
    grad = torch.rand(out.shape, generator=torch.Generator().manual_seed(0)).to(out.dtype)
    return out, *torch.autograd.grad(out, args, grad)


@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('t', [1, 2, 3, 4, 7, 12, 13, 50])
def test_values_and_gradients(t, stride, used, always):
    args = inputs(t)
    for ours, theirs in zip(results(temporal_conv, args, stride, 4), results(plain_temporal_conv, args, stride, 4),
                            strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert used


@pytest.mark.parametrize(('taps', 'padding'), [(1, 0), (2, 0), (4, 1), (4, 2), (9, 0), (9, 1), (9, 11), (15, 7)])
def test_any_kernel_and_padding(taps, padding, used, always):
    for stride in 1, 2, 4:
        args = inputs(17, taps=taps)
        for ours, theirs in zip(results(temporal_conv, args, stride, padding),
                                results(plain_temporal_conv, args, stride, padding), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert len(used) == 3


def test_gradcheck(always):
    assert torch.autograd.gradcheck(lambda *args: temporal_conv(*args, 2, 2), inputs(7, n=2, c=2, c_out=3, taps=5, v=2))


def test_any_memory(used, always):
    x, weight, bias = inputs(13, n=4)
    expected = plain_temporal_conv(x, weight, bias, 1, 4)
    grad = torch.randn_like(expected)
    for layout in (x, x.to(memory_format=torch.channels_last), x.transpose(0, 3).contiguous().transpose(0, 3),
                   x.repeat(1, 1, 1, 2)[..., :5]):
        out = temporal_conv(layout, weight.flip(2).contiguous().flip(2), bias, 1, 4)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
        assert out.is_contiguous(memory_format=torch.channels_last)
        for given in (grad, grad.to(memory_format=torch.channels_last), grad[:1, :1, :1, :1].expand_as(grad)):
            torch.testing.assert_close(torch.autograd.grad(out, (x, weight, bias), given, retain_graph=True),
                                       torch.autograd.grad(expected, (x, weight, bias), given, retain_graph=True),
                                       rtol=0, atol=1e-12)


def test_chunks_add_up(always, monkeypatch):
    args = inputs(13, n=7)
    whole = results(temporal_conv, args, 1, 4)
    for rows in (1, 10, 15):  # one body, two, three at a time; the last chunk is shorter
        monkeypatch.setattr(module, 'ROWS', rows)
        torch.testing.assert_close(results(temporal_conv, args, 1, 4), whole, rtol=0, atol=1e-12)


def test_float32_is_as_close_as_the_direct_sum(used):
    args = inputs(13, n=8, c=256, c_out=256, v=25, dtype=torch.float32)
    exact = results(plain_temporal_conv, [x.detach().double().requires_grad_() for x in args], 1, 4)
    ours, theirs = results(temporal_conv, args, 1, 4), results(plain_temporal_conv, args, 1, 4)
    for name, a, b, c in zip(('out', 'x', 'weight', 'bias'), ours, theirs, exact, strict=True):
        mine, other = ((found - c).abs().max() / c.abs().max() for found in (a, b))
        assert a.dtype == torch.float32 and mine < max(2 * other, 1e-6), name
    assert used


def test_the_same_numbers_each_time():
    args = inputs(13, n=20, c=64, c_out=64, v=25, dtype=torch.float32)
    first = results(temporal_conv, args, 1, 4)
    assert all(torch.equal(a, b) for a, b in zip(first, results(temporal_conv, args, 1, 4), strict=True))
    with torch.no_grad():
        assert torch.equal(temporal_conv(*args, 1, 4), first[0])
    with torch.inference_mode():
        assert torch.equal(temporal_conv(*args, 1, 4), first[0])


def test_matrices_made_in_inference_mode_serve_in_training(always):
    module._transforms.cache_clear()
    args = inputs(13)
    with torch.inference_mode():
        temporal_conv(*args, 1, 4)
    results(temporal_conv, args, 1, 4)


def test_is_not_used_where_it_is_slower_or_impossible(used):
    wide = TemporalConv(64, 9)
    x = torch.randn(4, 64, 13, 25)
    wide(x)
    assert len(used) == 1
    TemporalConv(4, 9)(x[:, :4])  # too few channels
    wide(torch.randn(1, 64, 400, 25))  # too long
    with torch.autocast('cpu', torch.bfloat16):
        assert wide(x).dtype == torch.bfloat16
    assert wide.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    assert wide.float()(x[:0]).shape == (0, 64, 13, 25)
    with pytest.raises(RuntimeError):
        wide(x.double())
    with pytest.raises(RuntimeError, match='[Kk]ernel'):
        temporal_conv(x[:, :, :3], wide.weight, wide.bias)  # shorter than the kernel, without padding
    assert len(used) == 1
    assert wide(x).shape == x.shape and len(used) == 2


def test_module_is_a_conv2d():
    ours = TemporalConv(8, 9, 2)
    theirs = torch.nn.Conv2d(8, 8, (9, 1), (2, 1), (4, 0))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 8, 11, 5)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize('training', [True, False])
def test_the_backbone_is_the_same_with_either(training, monkeypatch):
    found = []
    for pays in True, False:
        monkeypatch.setattr(module, '_pays', lambda *args, pays=pays: pays)
        torch.manual_seed(0)
        net = STGCN('ntu25', hidden_channels=4, out_channels=16, dropout=0.).double().train(training)
        x = torch.randn(3, 3, 23, 25, 2, dtype=torch.float64)
        x[0, ..., 1] = 0
        if training:
            net(x).sin().sum().backward()
            found.append([param.grad for param in net.parameters()])
        else:
            with torch.no_grad():
                found.append([net(x)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
