"""ST-GCN against stored outputs of the official implementation (docs/methods.md 1.7)."""
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmskelssl.commands.official import rename_actclr
from mmskelssl.layouts import get_layout
from mmskelssl.models.backbones import STGCN
from mmskelssl.models.backbones.adjacency import build_adjacency
from mmskelssl.models.backbones.stgcn import Shortcut


@pytest.fixture(scope='module')
def arrays(reference):
    return np.load(reference / 'actclr_reference.npz', allow_pickle=False)


def relative(ours, theirs):
    theirs = torch.from_numpy(theirs).double()
    return float((ours.double() - theirs).abs().max() / theirs.abs().max())


def build(arrays, dropout=0.):
    state = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith('sd/')}
    state = rename_actclr({f'encoder_q.{key}': value for key, value in state.items()})
    net = STGCN('ntu25', dropout=dropout).double().eval()
    net.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()
                         if key.startswith('backbone.')})
    fc = torch.nn.Linear(256, 60).double()
    fc.load_state_dict({key.removeprefix('fc.'): value for key, value in state.items() if key.startswith('fc.')})
    return net, fc


def forward(net, fc, x):
    feat = net(x).mean((3, 4)).mean(1)
    return feat, fc(feat)


def test_adjacencies(arrays, reference):
    layout = get_layout('ntu25')
    np.testing.assert_allclose(build_adjacency('stgcn', layout), arrays['edge_A'], atol=1e-7)
    official = np.load(reference / 'skeattn_neck_reference.npz', allow_pickle=False)['A_skeattn']
    np.testing.assert_array_equal(build_adjacency('agcn', layout), official)


def test_every_stage_in_eval_mode(arrays):
    net, fc = build(arrays)
    outputs = {}
    hooks = [block.register_forward_hook(lambda _m, _i, out, i=i: outputs.update({i: out}))
             for i, block in enumerate(net.blocks)]
    with torch.no_grad():
        feat, logits = forward(net, fc, torch.from_numpy(arrays['x']).double())
    for hook in hooks:
        hook.remove()
    for i in (0, 4, 7, 9):
        assert relative(outputs[i], arrays[f'out_block{i}']) < 1e-4
    assert relative(feat, arrays['out_fp64_feat']) < 1e-9
    assert relative(logits, arrays['out_fp64_logits']) < 1e-9


def test_other_lengths_and_an_absent_person(arrays):
    net, fc = build(arrays)
    with torch.no_grad():
        assert relative(forward(net, fc, torch.from_numpy(arrays['x64']).double())[1], arrays['out64_logits']) < 1e-4
        alone = torch.from_numpy(arrays['x']).double()
        alone[..., 1] = 0
        assert relative(forward(net, fc, alone)[1], arrays['outz_logits']) < 1e-4


def test_training_mode(arrays):
    net, fc = build(arrays)
    net.train()
    with torch.no_grad():
        logits = forward(net, fc, torch.from_numpy(arrays['x']).double())[1]
    assert relative(logits, arrays['out_train_nodrop_logits']) < 1e-4


def strided(self, x):
    """The shortcut with the stride inside the convolution, which rounds like the official one."""
    return self[1](F.conv2d(x, self[0].weight, self[0].bias, (self.stride, 1)))


def gradients(arrays):
    """Return the gradients of mean(logits²) in eval mode, after a float32 pass in training mode updated the BN."""
    net, fc = build(arrays)
    net.float().train()
    with torch.no_grad():
        net(torch.from_numpy(arrays['x']))
    net.double().eval()
    x = torch.from_numpy(arrays['x']).double().requires_grad_()
    forward(net, fc, x)[1].square().mean().backward()
    return x.grad, net.edge_importance[0].grad, net.blocks[0].gcn.conv.weight.grad


@pytest.mark.slow
def test_gradients(arrays, monkeypatch):
    """The stored gradients follow a float32 pass in training mode.

    The last bits of that pass depend on the order of sums. They decide whether one activation is above zero, which
    changes a gradient by half a percent. Every order must therefore come close, and one of them must match.
    """
    stored = [arrays[key] for key in ('grad_x_of_mean_sq_logits', 'grad_edge0', 'grad_conv0')]
    threads, matches = torch.get_num_threads(), False
    for shortcut, count in ((Shortcut.forward, 1), (strided, 1), (Shortcut.forward, 2), (strided, 2)):
        monkeypatch.setattr(Shortcut, 'forward', shortcut)
        torch.set_num_threads(count)
        ours = gradients(arrays)
        for a, b in zip(ours, stored, strict=True):
            b = torch.from_numpy(b).double()
            assert (a - b).norm() / b.norm() < 2e-3
        matches = max(relative(a, b) for a, b in zip(ours, stored, strict=True)) < 1e-5
        if matches:
            break
    torch.set_num_threads(threads)
    assert matches
