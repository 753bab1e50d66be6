"""Momentum encoder, queue, graph convolution and actionlet."""
import math
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models.backbones import STGCN
from mmskelssl.models.classifier import FrozenEncoder
from mmskelssl.models.modules.actionlet import actionlet_mask, pool_parts
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.models.modules.pooling import masked_pool
from mmskelssl.models.modules.queue import FeatureQueue


def test_key_equals_query_at_the_start_for_every_initialisation():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    key = MomentumEncoder(0.9, net=net)
    nn.init.constant_(net[0].weight, 2.)  # after the copy was made
    net[1].running_mean.fill_(5.)
    key.update()
    assert torch.equal(key.net[0].weight, net[0].weight) and torch.equal(key.net[1].running_mean, net[1].running_mean)
    before = key.net[0].weight.clone()
    nn.init.constant_(net[0].weight, 3.)
    key.update()
    torch.testing.assert_close(key.net[0].weight, .9 * before + .1 * 3)
    assert not any(p.requires_grad for p in key.parameters())


def test_a_resumed_key_encoder_keeps_its_weights():
    net = nn.Linear(2, 2)
    key = MomentumEncoder(0.5, net=net)
    key.update()
    nn.init.zeros_(net.weight)
    key.update()
    fresh = MomentumEncoder(0.5, net=net)
    fresh.load_state_dict(key.state_dict())
    fresh.start()
    assert torch.equal(fresh.net.weight, key.net.weight) and not torch.equal(fresh.net.weight, net.weight)


@pytest.mark.parametrize('policy', ['own', 'copy', 'ema'])
def test_buffers(policy):
    net = nn.BatchNorm1d(2)
    key = MomentumEncoder(0.75, buffers=policy, net=net)
    key.update()
    net.running_mean.fill_(4.)
    key.update()
    assert key.net.running_mean[0].item() == dict(own=0., copy=4., ema=1.)[policy]


def test_momentum_rises_along_a_cosine():
    key = MomentumEncoder(0.996, final_momentum=1., net=nn.Linear(1, 1))
    assert key.momentum_at(0.) == pytest.approx(.996) and key.momentum_at(1.) == pytest.approx(1.)
    assert key.momentum_at(.5) == pytest.approx(.998)


@pytest.mark.parametrize('batches', [[3, 3, 3], [5], [7], [12], [2, 9, 1]])
def test_queue_is_a_ring(batches):
    queue, ring, pointer = FeatureQueue(2, 5), None, 0
    ring, count = queue.keys.clone().tolist(), 0
    for n in batches:
        keys = torch.arange(count, count + n, dtype=torch.float32)[:, None].repeat(1, 2)
        count += n
        queue.enqueue(keys)
        for row in keys[-5:].tolist():
            ring[pointer] = row
            pointer = (pointer + 1) % 5
    assert queue.keys.tolist() == ring and int(queue.pointer) == pointer


def test_negatives_survive_an_enqueue():
    queue = FeatureQueue(4, 6)
    query = torch.randn(3, 4, requires_grad=True)
    negatives = queue.negatives()
    before, loss = negatives.clone(), (query @ negatives).sum()
    queue.enqueue(F.normalize(torch.randn(4, 4)))
    loss.backward()
    assert torch.equal(negatives, before) and torch.allclose(query.grad, before.sum(1).expand(3, -1))


@pytest.mark.parametrize('layout', ['ntu25', 'kinect20', 'coco17', 'cmu31', 'hand21'])
@pytest.mark.parametrize('adjacency', ['stgcn', 'agcn', 'partition'])
def test_graph_convolution_is_the_published_sum(layout, adjacency):
    """Gathering first is equivalent to the 1x1 convolution to K slices followed by the einsum over joints."""
    net = STGCN(layout, adjacency=adjacency, dropout=0).double()
    gcn, importance = net.blocks[4].gcn, torch.rand_like(net.A) + .5
    x = torch.randn(2, 16, 5, net.layout.num_joints, dtype=torch.float64, requires_grad=True)
    slices = gcn.conv(x).view(2, 3, 32, 5, -1)
    expected = torch.einsum('nkctv,kvw->nctw', slices, net.A * importance)
    ours = gcn(x, net.A * importance)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    theirs_grad = torch.autograd.grad(expected.square().sum(), (x, gcn.conv.weight, gcn.conv.bias))
    ours_grad = torch.autograd.grad(ours.square().sum(), (x, gcn.conv.weight, gcn.conv.bias))
    for a, b in zip(ours_grad, theirs_grad, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('t, v_layout, m', [(50, 'ntu25', 2), (1, 'kinect20', 1), (7, 'sbu15', 3)])
def test_backbone_contract(t, v_layout, m):
    net = STGCN(v_layout, hidden_channels=4, out_channels=8).eval()
    x = torch.randn(2, 3, t, net.layout.num_joints, m)
    out = net(x)
    assert out.shape == (2, m, 8, math.ceil(math.ceil(t / 2) / 2), net.layout.num_joints)
    torch.testing.assert_close(out[1:], net(x[1:]), rtol=1e-4, atol=1e-6)  # independent of the batch


def test_backbone_refuses_another_skeleton():
    with pytest.raises(UserError, match='20 joints of 3 channels.*ntu25'):
        STGCN('ntu25', hidden_channels=4)(torch.zeros(1, 3, 8, 20, 1))


def test_parameter_counts_of_the_papers():
    """docs/methods.md 0.4: number of parameters without the classifier."""
    def count(**kwargs):
        return sum(p.numel() for p in STGCN('ntu25', **kwargs).parameters())
    assert count() == 821_380 and count(hidden_channels=64) == 3_083_412


def actionlet_oracle(features, projector, anchor, layout):
    """Compute the gradient through the whole map, as published, then loop over body parts."""
    features = features.clone().requires_grad_()
    embedding = projector(features.mean((3, 4)).mean(1))
    distance = 1 - torch.stack([F.cosine_similarity(e, anchor[0], dim=0) for e in embedding]).mean()
    gradient, = torch.autograd.grad(distance, features)
    weights = gradient.mean((3, 4), keepdim=True)
    raw = (weights * features).mean(2).relu().detach()
    out = raw.clone()
    for part in layout.parts.values():
        for joint in part:
            out[..., joint] = sum(raw[..., other] for other in part) / len(part)
    return (out / 1e-8).clamp(0, 1)


@pytest.mark.parametrize('n', [1, 3])
def test_actionlet_against_the_gradient_of_the_map(n):
    torch.manual_seed(n)
    layout, projector = get_layout('ntu25'), Projector(6, 5, 4).double()
    features = torch.randn(n, 2, 6, 3, 25, dtype=torch.float64) * 1e-5
    anchor = torch.randn(1, 4, dtype=torch.float64)
    mask = actionlet_mask(features, projector, anchor, layout)
    expected = actionlet_oracle(features, projector, anchor, layout)
    assert 0 < expected.mean() < 1
    torch.testing.assert_close(mask, expected, rtol=1e-8, atol=1e-8)
    assert all(p.grad is None for p in projector.parameters())  # no gradient leaks into the real backward pass


def test_relative_threshold_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    layout, projector = get_layout('kinect20'), Projector(6, 5, 4).double()
    nn.init.normal_(projector.mlp[0].weight), nn.init.normal_(projector.mlp[3].weight)
    features, anchor = torch.randn(8, 1, 6, 3, 20, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    whole = actionlet_mask(features, projector, anchor, layout, 'relative')
    torch.testing.assert_close(whole[:2], actionlet_mask(features[:2], projector, anchor, layout, 'relative'))
    scales = [10.**-i for i in range(12)]  # some of them reach the threshold
    masks = [actionlet_mask(features * scale, projector, anchor, layout) for scale in scales]
    parts = [actionlet_mask(features[:2] * scale, projector, anchor, layout) for scale in scales]
    assert not all(torch.allclose(mask[:2], part) for mask, part in zip(masks, parts, strict=True))


def test_actionlet_needs_joints_and_parts():
    layout, anchor = get_layout('kinect20'), torch.randn(1, 4)
    with pytest.raises(UserError, match='sequence encoder'):
        actionlet_mask(torch.randn(2, 1, 6, 3, 1), Projector(6, 5, 4), anchor, layout)


def test_masked_pool_of_ones_is_the_mean():
    features = torch.randn(2, 2, 4, 3, 5, dtype=torch.float64)
    pooled = masked_pool(features, torch.ones(2, 2, 3, 5, dtype=torch.float64))
    torch.testing.assert_close(pooled, features.mean((3, 4)), rtol=1e-5, atol=1e-6)


def test_pool_parts_keeps_the_sum():
    x = torch.rand(2, 3, 15, dtype=torch.float64)
    torch.testing.assert_close(pool_parts(x, get_layout('sbu15')).sum(-1), x.sum(-1))


def test_skipping_absent_persons():
    """In eval mode, the map of a present person does not depend on the policy, and that of a skipped person is zero."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 25, 2)
    x[1, ..., 1] = 0
    x[3] = 0
    plain = STGCN('ntu25', hidden_channels=4, out_channels=8).eval()
    for module in plain.modules():  # as after training, where a body of zeros has a non-zero response
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.bias)
    skipping = STGCN('ntu25', hidden_channels=4, out_channels=8, absent='skip').eval()
    skipping.load_state_dict(plain.state_dict())
    expected, ours = plain(x), skipping(x)
    torch.testing.assert_close(ours[:3, 0], expected[:3, 0])
    assert ours[1, 1].abs().sum() == 0 and ours[3].abs().sum() == 0 < expected[1, 1].abs().sum()
    nobody = skipping(torch.zeros_like(x))
    assert nobody.shape == expected.shape and not nobody.any()


@pytest.mark.parametrize('masked', [False, True])
def test_skipping_without_reading_who_is_absent(masked, monkeypatch):
    """On a device, everybody is encoded. Maps, gradients and running statistics are those of the present persons."""
    x = torch.randn(4, 3, 8, 25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[1, ..., 1] = x[3] = 0
    x[:, :, :, 7] = 0
    made = []
    for reads in (True, False):
        monkeypatch.setattr('mmskelssl.ops.absent.reads_values', lambda _, reads=reads: reads)
        torch.manual_seed(0)
        net = STGCN('ntu25', hidden_channels=4, out_channels=8, absent='skip', dropout=0., masked=masked).double()
        features = net(x)
        features.square().sum().backward()
        made.append((features, *(p.grad for p in net.parameters()), *net.buffers(), net(0 * x)))
    for ours, expected in zip(*made, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    assert not made[1][0][1, 1].any()


@pytest.mark.parametrize('pooling', ['mean', 'mean_max'])
@pytest.mark.parametrize('autocast', [False, True])
def test_every_map_and_gradient_has_the_channels_last(autocast, pooling):
    """An operation on maps of both memory orders takes several times as long as on one."""
    model = FrozenEncoder(dict(type='STGCN', layout='ntu25'), pooling=pooling).train()
    aten, found = torch.ops.aten, []
    heavy = {aten.convolution, aten.convolution_backward, aten.native_batch_norm, aten.native_batch_norm_backward,
             aten.threshold_backward, aten.relu_, aten.mul, aten.add, aten.add_}

    class Orders(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            maps = [x for x in args if isinstance(x, torch.Tensor) and x.dim() == 4 and min(x.shape) > 1]
            if function.overloadpacket in heavy:
                found.append((str(function), [(x.shape, x.stride()) for x in maps
                                              if not x.is_contiguous(memory_format=torch.channels_last)]))
            return function(*args, **(kwargs or {}))

    with Orders(), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        model.extract_feat(torch.randn(4, 3, 50, 25, 2)).square().sum().backward()
    assert len(found) > 100 and not [(name, maps) for name, maps in found if maps]


@pytest.mark.slow
def test_odd_batches_of_narrow_networks_on_two_threads():
    """A strided 1x1 convolution crashed here. The test runs in a subprocess, since a crash ends all tests."""
    code = ('import torch; from mmskelssl.models.backbones import STGCN; torch.set_num_threads(2); '
            "net = STGCN('ntu25', hidden_channels=4, out_channels=16); "
            'net(torch.randn(17, 3, 24, 25, 1)).square().mean().backward()')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env={**os.environ, 'OMP_WAIT_POLICY': 'PASSIVE'})  # two threads that spin wait for a core
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize('adjacency', ['stgcn', 'agcn'])
def test_eval_folds_norms_and_encodes_the_absent_once(adjacency):
    """Equal to the unfolded network with each person encoded separately. With gradients there are no shortcuts."""
    torch.manual_seed(0)
    net = STGCN('ntu25', hidden_channels=4, out_channels=8, adjacency=adjacency).double()
    x = torch.randn(5, 3, 14, 25, 2, dtype=torch.float64)
    net(x)  # updates the statistics of the batch norms
    x[1:4, ..., 1] = 0
    x[2] = 0
    net.eval()
    with_gradients = net(x)
    seen = []
    handle = net.blocks[0].register_forward_hook(lambda module, args, out: seen.append(len(out)))
    with torch.no_grad():
        torch.testing.assert_close(net(x), with_gradients, rtol=1e-11, atol=1e-12)
        assert seen == [7]  # six present persons, and one for the four absent ones
        handle.remove()
        torch.testing.assert_close(net(x[2:3]), with_gradients[2:3], rtol=1e-11, atol=1e-12)
    assert with_gradients[1, 1].abs().max() > 0
    plain = STGCN('ntu25', hidden_channels=4, out_channels=8, norm_cfg=dict(type='GN', num_groups=2)).eval()
    assert not plain.blocks[1].foldable
    with torch.no_grad():
        torch.testing.assert_close(plain(x.float()[:1]), plain(x.float()[:2])[:1])
