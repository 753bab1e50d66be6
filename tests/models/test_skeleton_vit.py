"""SkeletonViT against a plain statement with loops, and what it promises on layouts, persons and missing joints."""
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.layouts import CANONICAL, get_layout
from mmskelssl.models.backbones import SkeletonViT
from mmskelssl.models.backbones.vit import joint_rows
from mmskelssl.models.classifier import FrozenEncoder
from mmskelssl.registry import MODELS


def vit(layout='sbu15', seed=0, **options):
    torch.manual_seed(seed)
    options = dict(channels=16, depth=2, heads=2) | options
    model = SkeletonViT(layout, **options).double().eval()
    for parameter in model.parameters():  # biases, too, and large enough for attention to matter
        torch.nn.init.normal_(parameter, std=.3)
    return model


def clips(n, t, v, m, seed=0):
    return torch.randn(n, 3, t, v, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_norm(x, norm):
    return (x - x.mean()) / math.sqrt(x.var(unbiased=False) + 1e-6) * norm.weight + norm.bias


def turned(x, time):
    """The two halves of a vector as the parts of complex numbers, each turned by its own speed."""
    half = len(x) // 2
    numbers = x[:half].numpy() + 1j * x[half:].numpy()
    numbers = numbers * np.exp(1j * time * 10_000. ** (-np.arange(half) / half))
    return torch.from_numpy(np.concatenate([numbers.real, numbers.imag]))


def plain(model, clip):
    """Encode one person (C, T, V), all of it visible, one token after the other: (D, T', V)."""
    tokens, times, joints = [], [], model.rows.to(model.joints) @ model.joints
    for start in range(0, clip.shape[1], model.segment):
        for v in range(clip.shape[2]):
            patch = torch.zeros(clip.shape[0], model.segment, dtype=clip.dtype)
            part = clip[:, start:start + model.segment, v]
            patch[:, :part.shape[1]] = part
            tokens.append(model.patch.weight @ patch.flatten() + model.patch.bias + joints[v])
            times.append(start // model.segment)
    added = [*([] if model.cls is None else model.cls), *model.registers]
    tokens, times, classes = [*added, *tokens], [0] * len(added) + times, []
    for block in model.blocks:
        normed = [layer_norm(x, block.norm1) for x in tokens]
        q, k, v = (torch.stack([part.weight @ x + part.bias for x in normed]) for part in chunks(block.attention.qkv))
        heads = []
        for a, b in zip(range(0, 16, 8), range(8, 17, 8), strict=True):
            turned_q, turned_k = ([turned(x[a:b], time) for x, time in zip(part, times, strict=True)]
                                  for part in (q, k))
            scores = torch.tensor([[(x * y).sum() / math.sqrt(8) for y in turned_k] for x in turned_q])
            heads.append(scores.softmax(1) @ v[:, a:b])
        attended = torch.cat(heads, 1)
        tokens = [x + block.attention.out.weight @ y + block.attention.out.bias
                  for x, y in zip(tokens, attended, strict=True)]
        tokens = [x + feed_forward(block.mlp, layer_norm(x, block.norm2)) for x in tokens]
        classes.append(layer_norm(tokens[0], model.norm))
    classes = classes[len(classes) - model.cls_blocks:]
    tokens = torch.stack([torch.cat([*classes, layer_norm(x, model.norm)]) for x in tokens[len(added):]])
    return tokens.view(-1, clip.shape[2], model.out_channels).permute(2, 0, 1)


def feed_forward(mlp, x):
    """The MLP of a block, of either kind."""
    first, second = (mlp.inner, mlp.outer) if hasattr(mlp, 'inner') else (mlp[0], mlp[2])
    hidden = first.weight @ x + first.bias
    if hasattr(mlp, 'inner'):
        gate, value = hidden[:len(hidden) // 2], hidden[len(hidden) // 2:]
        hidden = gate / (1 + torch.exp(-gate)) * value
    else:
        hidden = F.gelu(hidden)
    return second.weight @ hidden + second.bias


class chunks:
    """The thirds of a linear layer."""

    def __init__(self, linear):
        self.parts = [*zip(linear.weight.chunk(3), linear.bias.chunk(3), strict=True)]

    def __iter__(self):
        return iter([type('Part', (), dict(weight=weight, bias=bias)) for weight, bias in self.parts])


@torch.no_grad()
@pytest.mark.parametrize('options, frames', [
    (dict(), 8), (dict(registers=2), 7), (dict(registers=1, cls_blocks=1, mlp='swiglu'), 8), (dict(cls_blocks=2), 8)],
    ids=['plain', 'registers', 'slim', 'classes'])
def test_equals_a_plain_statement(options, frames):
    model, x = vit(segment=3, **options), clips(2, frames, 15, 2)
    x[1, ..., 1] = 0
    maps = model(x)
    assert maps.shape == (2, 2, 16 * (1 + options.get('cls_blocks', 0)), 3, 15)
    for n, m in ((0, 0), (0, 1), (1, 0)):
        torch.testing.assert_close(maps[n, m], plain(model, x[n, ..., m]), rtol=0, atol=1e-12)
    assert not maps[1, 1].any()


@torch.no_grad()
def test_what_holds_no_information_is_as_if_it_were_not_there():
    """Zero joints, and frames without the person, change nothing for the rest, and have no features."""
    model, x = vit(), clips(2, 12, 15, 1)
    x[:, :, 8:] = 0
    torch.testing.assert_close(model(x)[:, :, :, :2], model(x[:, :, :8]))
    assert not model(x)[:, :, :, 2].any()
    x = clips(2, 12, 15, 1)
    x[0, :, :, 3] = 0
    kept = [v for v in range(15) if v != 3]
    maps, (patches, valid) = model(x), model.patches(x)
    tokens = model.embed(patches)
    seen = valid[0]
    alone = model.encode(tokens[:1, seen], valid[:1, seen], model.times(45)[:, seen])
    torch.testing.assert_close(maps[0, 0][..., kept].permute(1, 2, 0).flatten(0, 1), alone[0])
    assert not maps[0, 0, ..., 3].any() and maps[1, 0, ..., 3].all()


@torch.no_grad()
def test_the_pooled_feature_is_the_class_tokens_and_the_mean_token():
    """Also with joints that are missing: they count in the mean as zeros, and not at all for the class token."""
    model, x = vit(cls_blocks=2, registers=1), clips(2, 12, 15, 1)
    x[0, :, :, 3] = 0
    encoder = FrozenEncoder(model)
    patches, valid = model.patches(x)
    tokens, classes = model.read(model.embed(patches), valid)
    torch.testing.assert_close(encoder.extract_feat(x), torch.cat([classes, tokens.mean(1)], 1))
    alone = model.read(model.embed(patches)[:1, valid[0]], valid[:1, valid[0]], model.times(45)[:, valid[0]])[1]
    torch.testing.assert_close(classes[:1], alone)


@torch.no_grad()
def test_masked_tokens_show_nothing_of_their_content():
    model, x = vit(cls_blocks=1), clips(2, 8, 15, 1)
    patches, valid = model.patches(x)
    mask = torch.rand(2, 30, generator=torch.Generator().manual_seed(3)) < .5
    other = torch.where(mask.unsqueeze(2), patches + 1, patches)
    instead = torch.full((16,), .7, dtype=torch.float64)
    first, second = (model.read(model.embed(p, (mask, instead)), valid) for p in (patches, other))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    tokens = model.embed(patches, (mask, instead))
    joints = model.rows.double() @ model.joints
    torch.testing.assert_close(tokens[mask], instead + joints.repeat(2, 1).expand(2, -1, -1)[mask])
    assert torch.equal(tokens[~mask], model.embed(patches)[~mask])


@torch.no_grad()
def test_one_set_of_weights_serves_every_layout():
    """A joint is known by its canonical name: its index in a layout does not matter."""
    kinect, other = get_layout('kinect20'), get_layout('kinect20')
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    fields = other.fields()
    place = {int(old): new for new, old in enumerate(order)}
    swapped = dict(fields, name='swapped', joints=[fields['joints'][i] for i in order],
                   parents=[place[other.parents[i]] for i in order], hip=place[other.hip],
                   shoulders=[place[j] for j in other.shoulders], pairs=[], parts={},
                   canonical=[next((name for name, j in kinect.named.items() if j == i), None) for i in order])
    one, two = vit(kinect), vit(swapped)
    two.load_state_dict(one.state_dict())
    x = clips(2, 8, 20, 1)
    torch.testing.assert_close(one(x)[..., order], two(x[:, :, :, order]))
    for layout in ('coco17', 'ntu25', 'h36m17'):
        vit(layout).load_state_dict(one.state_dict())


def test_joints_without_a_name_lie_between_those_with_one():
    layout = get_layout('kinect20')
    rows = joint_rows(layout)
    torch.testing.assert_close(rows.sum(1), torch.ones(20))
    assert all(rows[joint, CANONICAL.index(name)] == 1 for name, joint in layout.named.items())
    fields = dict(name='tail', joints=['pelvis', 'a', 'spine', 'b'], parents=[0, 0, 1, 2], hip=0, shoulders=[0, 2])
    rows = joint_rows(get_layout(fields))
    assert rows[1].nonzero().flatten().tolist() == [CANONICAL.index('pelvis'), CANONICAL.index('spine')]
    assert rows[3, CANONICAL.index('spine')] == 1
    own = joint_rows(get_layout(dict(fields, joints=['w', 'x', 'y', 'z'])))
    assert torch.equal(own, torch.eye(4))


@pytest.mark.parametrize('name', ['SkeletonCLR', 'AimCLR', 'ActCLR', 'SkeAttnCLR'])
def test_methods_of_stgcn_run_on_it(name):
    torch.manual_seed(0)
    views = {view: [] for view in MODELS.get(name).view_names}
    options = dict(attention=dict(heads=2)) if name == 'SkeAttnCLR' else {}
    model = MODELS.build(dict(
        type=name, queue_size=8, projector=dict(out_channels=6), **options,
        backbone=dict(type='SkeletonViT', layout='sbu15', channels=16, depth=1, heads=2),
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='sbu15', views=views)))
    data = dict(inputs=clips(4, 13, 15, 2).float(), data_samples=dict(num_frames=torch.full((4,), 13)))
    data['inputs'][:2, ..., 1] = 0
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    used = dict(model.backbone.named_parameters())
    assert all(value.grad is not None and value.grad.isfinite().all() for value in used.values() if value.numel())
    assert used['joints'].grad.abs().sum() > 0


def test_sizes():
    count = sum(p.numel() for p in SkeletonViT('ntu25', size='base').parameters())
    assert 6.2e6 < count < 6.5e6  # MAMP's, section 4.2
    released = SkeletonViT('ntu25', size='base', segment=8, mlp='swiglu', registers=4, cls_blocks=1)
    used = sum(p.numel() for name, p in released.named_parameters() if name != 'joints') + 25 * 256
    assert used == 6_368_768 - 2 * 256  # SLiM's, without the mask token and the position of the class token
    assert vit(size='tiny', channels=None, depth=None, heads=None).out_channels == 64


@pytest.mark.parametrize('options, message', [
    (dict(size='huge'), 'tiny, small, base'), (dict(heads=3), 'multiple of 2 \\* heads = 6'),
    (dict(mlp='relu'), 'gelu, swiglu'), (dict(cls_blocks=3), 'at most backbone.depth, which is 2'),
    (dict(segment=0), 'backbone.segment is 0'), (dict(depth=True), 'backbone.depth is True')])
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        vit(**options)


def test_clips_of_another_skeleton():
    with pytest.raises(UserError, match="20 joints of 3 channels.*'sbu15'"):
        vit()(clips(1, 4, 20, 1))
