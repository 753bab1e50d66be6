"""Graph convolution, folded batch norm and absent persons: each equals its plain implementation."""
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mmskelssl.ops.graph_conv as graph_conv_file
from mmskelssl.ops.absent import encode_persons, plain_encode_persons
from mmskelssl.ops.batch_norm import can_fold, conv_norm, plain_conv_norm
from mmskelssl.ops.graph_conv import graph_conv, plain_graph_conv


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels).double()
    for i, tensor in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var)):
        tensor.data = rand(channels, seed=i).abs() + .1
    return norm.eval()


def same(ours, plain, inputs):
    """Return values and gradients of a weighted sum."""
    torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11)
    weight = rand(*plain.shape, seed=9)
    for a, b in zip(*(torch.autograd.grad((out * weight).sum(), inputs) for out in (ours, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('memory', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('normalise', [False, True])
@pytest.mark.parametrize('frames, way', [(5, '_gathered'), (20, '_dense')])
def test_graph_conv(memory, normalise, frames, way, monkeypatch):
    monkeypatch.setattr(graph_conv_file, {'_gathered': '_dense', '_dense': '_gathered'}[way], None)  # not called
    x = rand(3, 4, frames, 7).to(memory_format=memory).requires_grad_()
    inputs = [x, *(rand(*shape, seed=i).requires_grad_() for i, shape in enumerate([(3, 7, 7), (18, 4, 1, 1), (18,)]))]
    norm = trained_norm(6) if normalise else None
    same(graph_conv(*inputs, norm), plain_graph_conv(*inputs, norm), inputs)


@pytest.mark.parametrize('channels, way', [(32, '_dense'), (64, '_gathered')])
def test_graph_conv_under_autocast(channels, way, monkeypatch):
    """In half precision the matrix from all joints to all joints may be larger. Its sums are not rounded on the way."""
    monkeypatch.setattr(graph_conv_file, {'_gathered': '_dense', '_dense': '_gathered'}[way], None)
    inputs = [rand(16, channels, 50, 25), rand(3, 25, 25, seed=1) * (rand(3, 25, 25, seed=2) > 1.5),
              rand(3 * channels, channels, 1, 1, seed=3) / channels ** .5, rand(3 * channels, seed=4)]
    exact, rounded = ([x.to(dtype, copy=True).requires_grad_() for x in inputs]
                      for dtype in (torch.float64, torch.float32))
    plain = plain_graph_conv(*exact)
    with torch.autocast('cpu', torch.bfloat16):
        ours = graph_conv(*rounded)
    assert ours.dtype == torch.bfloat16
    plain.square().sum().backward()
    ours.float().square().sum().backward()
    for name, a, b in zip(['out', 'x', 'adjacency', 'weight', 'bias'], [ours, *(x.grad for x in rounded)],
                          [plain, *(x.grad for x in exact)], strict=True):
        assert float((a.detach() - b.detach()).norm() / b.detach().norm()) < 0.006, name


@pytest.mark.parametrize('convolve', [F.conv2d, lambda *args: F.conv2d(*args, stride=(2, 1))])
def test_conv_norm(convolve):
    conv, x = nn.Conv2d(4, 6, 1).double(), rand(3, 4, 5, 7)
    norm = trained_norm(6)
    with torch.no_grad():
        torch.testing.assert_close(conv_norm(x, conv, norm, convolve), plain_conv_norm(x, conv, norm, convolve),
                                   rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('norm, expected', [
    (nn.BatchNorm2d(4), True), (nn.BatchNorm2d(4, affine=False), False), (nn.GroupNorm(2, 4), False),
    (nn.BatchNorm2d(4, track_running_stats=False), False)], ids=['plain', 'no affine', 'group', 'no statistics'])
def test_what_can_be_folded(norm, expected):
    assert can_fold(norm) == expected


@pytest.mark.parametrize('absent', [(), (1,), (0, 3), (0, 1, 2, 3, 4)])
def test_absent_persons(absent):
    persons, counts = rand(5, 6, 8), []
    persons[list(absent)] = 0

    def encode(rows):
        counts.append(len(rows))
        return (rows.unflatten(2, (2, 4)).permute(0, 2, 1, 3) + 1).contiguous(memory_format=torch.channels_last)
    ours = encode_persons(encode, persons)
    assert torch.equal(ours, plain_encode_persons(encode, persons))
    assert counts[0] == (5 if len(absent) < 2 else 6 - len(absent))
