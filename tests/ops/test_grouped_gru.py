"""Groups of similar length give the same results as packing, including gradients."""
import pytest
import torch

from mmskelssl.models.backbones import BiGRU
from mmskelssl.ops.grouped_gru import bidirectional_gru, plain_gru, plain_run_by_length, reverse, run_by_length
from mmskelssl.registry import MODELS


@pytest.mark.parametrize('n', [1, 5, 40, 70])
def test_grouped_gru_is_the_packed_one(n):
    torch.manual_seed(0)
    net = BiGRU('sbu15', 3, 2, hidden_channels=6, dropout=0.).double()
    lengths = torch.randint(1, 13, (n,), generator=torch.Generator().manual_seed(1))
    x = torch.randn(n, 3, 14, 15, 2, dtype=torch.float64)
    with torch.no_grad():
        packed = net(x, lengths)
    grouped = net(x, lengths)
    assert grouped.requires_grad
    torch.testing.assert_close(grouped, packed, rtol=1e-12, atol=1e-14)
    weight = torch.randn_like(packed)
    ours = torch.autograd.grad((grouped * weight).sum(), list(net.parameters()))
    states = plain_gru(net.gru, net.frames(x), lengths)
    theirs = torch.autograd.grad((states.transpose(1, 2)[:, None, :, :, None] * weight).sum(), list(net.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_input_gets_the_same_gradient_too():
    torch.manual_seed(0)
    gru = torch.nn.GRU(5, 4, 2, batch_first=True, bidirectional=True).double()
    x, lengths = torch.randn(40, 9, 5, dtype=torch.float64, requires_grad=True), torch.arange(40) % 9 + 1
    made = [function(gru, x, lengths) for function in (bidirectional_gru, plain_gru)]
    torch.testing.assert_close(*made, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(*(torch.autograd.grad(out.sin().sum(), x)[0] for out in made), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('n', [1, 40, 70])
def test_groups_give_what_one_run_gives(n):
    """As used by the decoder: one vector per row, the input of a GRU at every step."""
    torch.manual_seed(0)
    gru = torch.nn.GRU(5, 4, 2, batch_first=True).double()
    x, lengths = torch.randn(n, 5, dtype=torch.float64, requires_grad=True), torch.arange(n) % 9 + 1

    def function(rows, ends, longest):
        return gru(rows.unsqueeze(1).expand(-1, longest, -1))[0]
    made = [run(function, x, lengths, 11) for run in (run_by_length, plain_run_by_length)]
    assert made[0].shape == (n, 11, 4)
    torch.testing.assert_close(*made, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(*(torch.autograd.grad(out.sin().sum(), x)[0] for out in made), rtol=1e-10, atol=1e-12)


def test_dropout_between_the_layers_only_while_training():
    net = BiGRU('sbu15', 3, 1, hidden_channels=6, dropout=.5)
    x, lengths = torch.randn(3, 3, 6, 15, 1), torch.tensor([6, 4, 2])
    assert not torch.equal(net(x, lengths), net(x, lengths))
    net.eval()
    assert torch.equal(net(x, lengths), net(x, lengths))


def test_rows_come_back_in_their_order_and_zero_beyond_their_end():
    lengths, x = torch.tensor([2, 5, 1, 5, 3] * 14), torch.arange(70.)
    longest = []

    def function(rows, ends, frames):
        longest.append(frames)
        assert frames == ends.max()
        return rows.view(-1, 1, 1).expand(-1, frames, 2) + 1
    made = run_by_length(function, x, lengths, 7)
    assert made.shape == (70, 7, 2) and longest == sorted(longest) and len(longest) == 4
    for i, length in enumerate(lengths.tolist()):
        assert (made[i, :length] == i + 1).all() and not made[i, length:].any()


def test_without_reading_the_lengths(monkeypatch):
    """On a device, every row runs to the end: the same loss and gradients, whatever the padding contains."""
    torch.manual_seed(0)
    model = MODELS.build(dict(type='CRRLReconstruct', backbone=dict(
        type='BiGRU', layout='sbu15', hidden_channels=4, dropout=0.), data_preprocessor=dict(
            type='SkeletonPreprocessor', layout='sbu15', views=dict(clip=[])))).double()
    lengths, clip = torch.arange(40) % 9 + 1, torch.randn(40, 3, 12, 15, 1, dtype=torch.float64)
    made = []
    for reads in (True, False):
        for module in ('ops.grouped_gru', 'models.backbones.bigru', 'models.methods.crrl'):
            monkeypatch.setattr(f'mmskelssl.{module}.reads_values', lambda _, reads=reads: reads)
        loss = sum(model.loss(dict(clip=clip), dict(num_frames=lengths)).values())
        made.append((loss, *torch.autograd.grad(loss, list(model.parameters()))))
        clip = torch.where((torch.arange(12) < lengths[:, None]).view(40, 1, 12, 1, 1), clip, torch.inf)
    for ours, expected in zip(*made, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(RuntimeError, match='num_frames is outside'):
        model.backbone(clip, lengths + 9)


def test_reverse():
    x = torch.arange(8.).view(2, 4, 1)
    assert reverse(x, torch.tensor([4, 2])).flatten().tolist() == [3, 2, 1, 0, 5, 4, 6, 7]
