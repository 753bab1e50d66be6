"""ST-GCN against stored outputs of the official implementation (methods.md 1.7)."""
import numpy as np
import pytest
import torch

from mmskelssl.layouts import get_layout
from mmskelssl.models.backbones import STGCN
from mmskelssl.models.backbones.adjacency import build_adjacency
from tools.analysis.convert_checkpoint import rename_actclr


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


def test_gradients(arrays):
    """The stored gradients are those of eval mode after one float32 pass in training mode moved the statistics."""
    net, fc = build(arrays)
    net.float().train()
    with torch.no_grad():
        net(torch.from_numpy(arrays['x']))
    net.double().eval()
    x = torch.from_numpy(arrays['x']).double().requires_grad_()
    forward(net, fc, x)[1].square().mean().backward()
    assert relative(x.grad, arrays['grad_x_of_mean_sq_logits']) < 1e-5
    assert relative(net.edge_importance[0].grad, arrays['grad_edge0']) < 1e-5
    assert relative(net.blocks[0].gcn.conv.weight.grad, arrays['grad_conv0']) < 1e-5
