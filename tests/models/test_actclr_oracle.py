"""ActCLR and AimCLR against a second implementation with loops over plain floats, from docs/methods.md 1.3 and 4.2."""
import math

import numpy as np
import pytest
import torch
from torch import nn

from mmskelssl.augment import MixPlan, mix, transfer_style
from mmskelssl.layouts import get_layout
from mmskelssl.models import Progress
from mmskelssl.models.methods import actclr
from mmskelssl.models.methods.aimclr import energy_drop
from mmskelssl.registry import MODELS

PLANS = [MixPlan(1, 'cutmix', (0, 3), 1, 2), MixPlan(2, 'resizemix', (1, 2, 4), 0, 1),
         MixPlan(1, 'mixup', (2,), 0, 3, lam=.3), MixPlan(2, 'cutmix', (0, 1, 2, 3, 4), 0, 4)]
N, M, FRAMES, CELLS, V, E, K = 4, 2, 14, 4, 25, 6, 9


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return nn.functional.normalize(rand(*shape, seed=seed) - .5, dim=-1)


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def normalised(vector):
    length = math.sqrt(dot(vector, vector))
    return [float(x) / length for x in vector]


def softmax(values):
    exp = [math.exp(value - max(values)) for value in values]
    return [value / sum(exp) for value in exp]


# AimCLR

def energy_drop_oracle(features, keep, epsilon=1e-4):
    n_, m_, d_, t_, v_ = features.shape
    attention = np.zeros(features.shape)
    for n, m, d in np.ndindex(n_, m_, d_):
        cells = features[n, m, d]
        mean = sum(cells.flatten()) / (t_ * v_)
        variance = sum((value - mean) ** 2 for value in cells.flatten()) / (t_ * v_ - 1)
        for t, v in np.ndindex(t_, v_):  # the inverse of SimAM's minimal energy
            inverse_energy = (cells[t, v] - mean) ** 2 / (4 * (variance + epsilon)) + .5
            attention[n, m, d, t, v] = 1 / (1 + math.exp(-inverse_energy))
    joints, out, kept_joints, kept_cells = {}, np.zeros(features.shape), 0, 0
    for n, m, v in np.ndindex(n_, m_, v_):
        joints[n, m, v] = sum(attention[n, m, :, :, v].flatten()) / (d_ * t_) < keep
        kept_joints += joints[n, m, v]
    for place in np.ndindex(features.shape):
        kept_cells += attention[place] < keep
    for n, m, d, t, v in np.ndindex(features.shape):
        if joints[n, m, v] and attention[n, m, d, t, v] < keep:
            out[n, m, d, t, v] = (features[n, m, d, t, v] * (n_ * m_ * v_) / kept_joints
                                  * (n_ * m_ * d_ * t_ * v_) / kept_cells)
    return out, joints


@pytest.mark.parametrize('keep', [.68, .7, .9])
def test_energy_drop(keep):
    features = (rand(3, 2, 4, 3, 5) - .5).requires_grad_()
    with torch.no_grad():
        features[0, 1, ..., 2] += 3  # a joint that deviates in all channels and frames
        features[2, 0, 1, 1, 3] += 5  # a single activation that deviates, in an otherwise even map
    expected, joints = energy_drop_oracle(features.detach().numpy(), keep)
    made = energy_drop(features, keep)
    np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-6)
    assert 0 < (expected == 0).mean() < 1 and (keep > .7 or not joints[0, 1, 2])
    made.sum().backward()  # the mask is constant: kept activations get its value as gradient, dropped ones zero
    np.testing.assert_allclose(features.grad.numpy(), expected / features.detach().numpy(), rtol=1e-6)


def test_nothing_is_dropped_at_one():
    """The first released mask drops nothing. Rounding must not drop an isolated activation either."""
    features = torch.zeros(1, 1, 2, 13, 25)
    features[..., 4, 7] = 30.
    assert torch.equal(energy_drop(features, 1), features) and not energy_drop(features, .9).any()


# ActCLR: the key of a mixed clip

def mixed_keys(key, mask, plan, layout):
    """Step 8: shares of the attention exp(mask / 0.1) in the pasted and the kept region."""
    parts = list(layout.parts.values())
    chosen = {joint for part in plan.parts for joint in parts[part]}
    keys = []
    for i in range(N):
        j, pasted, kept = (i + plan.shift) % N, 0., 0.
        for m in range(M):
            totals = [sum(math.exp(a / .1) for a in mask[clip, m].flatten().tolist()) for clip in (i, j)]
            for t in range(CELLS):
                for v in range(V):
                    window = plan.start <= t < plan.start + plan.length
                    if plan.kind == 'mixup':
                        came, went = plan.lam, plan.lam
                    else:
                        went = v in chosen and window
                        came = v in chosen and (window or plan.kind == 'resizemix')
                    kept += (1 - went) * math.exp(mask[i, m, t, v] / .1) / totals[0] / M
                    pasted += came * math.exp(mask[j, m, t, v] / .1) / totals[1] / M
        c, p = kept / (kept + pasted), pasted / (kept + pasted)
        keys.append(normalised([c * float(a) + p * float(b) for a, b in zip(key[i], key[j], strict=True)]))
    return torch.tensor(keys, dtype=torch.float64)


def build(**kwargs):
    torch.manual_seed(0)
    views = {name: [] for name in ('strong', 'normal', 'weak', 'key')}
    return MODELS.build(dict(
        type='ActCLR', backbone=dict(type='STGCN', layout='ntu25', hidden_channels=4, out_channels=8, dropout=0.),
        projector=dict(hidden_channels=32, out_channels=E), queue_size=K,
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', views=views), **kwargs)).double()


@pytest.mark.parametrize('plan', PLANS, ids=lambda plan: plan.kind)
def test_mixed_keys(plan):
    key, mask = unit(N, E), rand(N, M, CELLS, V, seed=1)
    made = build().mix_keys(key, mask, plan, FRAMES)
    torch.testing.assert_close(made, mixed_keys(key, mask, plan, get_layout('ntu25')), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(made, key, atol=.05)


# ActCLR: static anchor and the key of a clip

class Toy(nn.Module):
    """A backbone that a loop can follow: 8 channels, each a mixture of the coordinates of a cell's first frame."""
    out_channels = 8

    def __init__(self, seed=3):
        super().__init__()
        self.weight = nn.Parameter(rand(8, 3, seed=seed) - .3)

    def forward(self, x, num_frames=None):
        return torch.einsum('dc,nctvm->nmdtv', self.weight, x[:, :, ::4]).relu()


@torch.no_grad()
def two_layers(projector, pooled):
    first, last = projector.mlp[0], projector.mlp[3]
    hidden = [max(dot(row, pooled) + float(b), 0.) for row, b in zip(first.weight, first.bias, strict=True)]
    return [dot(row, hidden) + float(b) for row, b in zip(last.weight, last.bias, strict=True)]


def pooled(features, mask=None):
    """Average over cells, weighted by the mask, then over persons; features (M, D, T', V)."""
    total = [0.] * features.shape[1]
    for m in range(M):
        weight = np.ones((CELLS, V)) if mask is None else mask[m].numpy()
        mass = weight.sum() + (0 if mask is None else 1e-5)
        for d in range(len(total)):
            cells = features[m, d].tolist()
            total[d] += sum(cells[t][v] * weight[t, v] for t in range(CELLS) for v in range(V)) / mass / M
    return total


def test_static_anchor_and_semantic_key(monkeypatch):
    """Steps 2 and 4, with the key encoder."""
    model, view, mask = build(), rand(N, 3, FRAMES, V, M) - .4, rand(N, M, CELLS, V, seed=2)
    model.key_encoder.backbone = Toy()
    for p in model.key_encoder.projector.parameters():
        nn.init.normal_(p, std=.3)
    with torch.no_grad():
        features = model.key_encoder.backbone(view)
        average = model.key_encoder.backbone((sum(view) / N)[None])[0]
        anchor = model.static_anchor(view)
    expected = torch.tensor(two_layers(model.key_encoder.projector, pooled(average)))
    torch.testing.assert_close(anchor[0], expected.to(anchor), rtol=1e-5, atol=1e-6)  # the result is float32

    def mask_of(features, projector, given):
        assert projector is model.key_encoder.projector and given is anchor
        return mask
    monkeypatch.setattr(model, 'mask_of', mask_of)
    made = model.semantic_key(view, anchor)
    for i in range(N):
        whole, salient = (two_layers(model.key_encoder.projector, pooled(features[i], m)) for m in (None, mask[i]))
        expected = normalised([.5 * a + .5 * b for a, b in zip(whole, salient, strict=True)])
        torch.testing.assert_close(made[i], torch.tensor(expected).to(made), rtol=1e-5, atol=1e-6)
        assert not np.allclose(normalised(whole), normalised(salient), atol=1e-3)


def test_running_anchor():
    """The anchor starts with the first batch's, then mixes nine tenths of the old and one tenth of the new."""
    model = build(anchor='running')
    views, plain = [rand(N, 3, FRAMES, V, M, seed=i) * (i + 1) for i in range(3)], build()
    model.key_encoder.backbone = plain.key_encoder.backbone = Toy()
    plain.key_encoder.projector = model.key_encoder.projector
    model.running_anchor = model.running_anchor.float()  # embeddings are float32 regardless of the model
    single = [plain.static_anchor(view).double() for view in views]
    expected = .9 * (.9 * single[0] + .1 * single[1]) + .1 * single[2]
    for view in views:
        made = model.static_anchor(view)
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(model.running_anchor, made, rtol=0, atol=0)


# ActCLR: the whole step, with masks, keys and embeddings injected

def kl_to_queue(embedding, key, queue, topk, temperatures=(.1, .04)):
    """Step 5, for one clip."""
    teacher = [dot(key, entry) for entry in queue]
    teacher = [-1. if value > .95 else value for value in teacher]
    nearest = sorted(range(len(queue)), key=lambda k: -teacher[k])[:topk]
    p = softmax([teacher[k] / temperatures[1] for k in nearest])
    q = softmax([dot(embedding, queue[k]) ** 2 / temperatures[0] for k in nearest])
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def cross_entropy_to_key(embedding, key, queue, temperature):
    return -math.log(softmax([dot(embedding, entry) / temperature for entry in (key, *queue)])[0])


def upsampled(mask, frames):
    """(T', V) -> (T, V): linear in time with aligned corners; joints are unchanged."""
    where = np.arange(frames) * (len(mask) - 1) / (frames - 1)
    return np.stack([np.interp(where, range(len(mask)), mask[:, v].numpy()) for v in range(mask.shape[1])], 1)


def blended(mask, inside, outside):
    out = np.empty(tuple(inside.shape))
    for n in range(N):
        for m in range(M):
            weight = upsampled(mask[n, m], FRAMES)
            out[n, ..., m] = weight * inside[n, ..., m].numpy() + (1 - weight) * outside[n, ..., m].numpy()
    return torch.from_numpy(out)


def injected(monkeypatch, late=False, **options):
    """A model whose masks, keys and embeddings are given, and everything that it is given or sees."""
    model = build(topk=5, temperature=.3, late_epoch=3, **options)
    views = {name: rand(N, 3, FRAMES, V, M, seed=i) - .5 for i, name in enumerate(('normal', 'strong', 'weak', 'key'))}
    masks = dict(zip(('normal', 'weak'), rand(2, N, M, CELLS, V, seed=9), strict=True))
    embeddings, key, queue = unit(3, N, E, seed=4).requires_grad_(), unit(N, E, seed=5), unit(K, E, seed=6)
    queue[3] = key[1] + .05 * unit(E, seed=7)  # a near-duplicate of a key, above .95 and therefore excluded
    queue = nn.functional.normalize(queue, dim=1)
    assert key[1] @ queue[3] > .95
    model.queue.keys.copy_(queue)
    model.set_progress(Progress(3 if late else 2, 0, 10))
    anchor, seen, drawn, plans = torch.zeros(1, E), [], [], iter(PLANS)

    def inject(name, value):
        monkeypatch.setattr(model, name, value)

    def draw_mix(n, frames, num_parts, generator, /, device, **ranges):
        assert (n, frames, num_parts) == (N, FRAMES, 5)
        drawn.append(ranges)
        return next(plans)

    class Encoder(nn.Module):
        def forward(self, view, num_frames=None):
            seen.append(view)
            return torch.tensor(len(seen) - 1)
    inject('static_anchor', lambda view: anchor if view is views['key'] else None)
    inject('semantic_key', lambda view, given: key if view is views['key'] and given is anchor else None)
    inject('masks', lambda view, given: masks['normal' if view is views['normal'] else 'weak'])
    inject('backbone', Encoder())
    inject('embed', lambda call: embeddings[call])
    monkeypatch.setattr(model.key_encoder, 'update', lambda progress: None)
    monkeypatch.setattr(actclr, 'draw_mix', draw_mix)
    monkeypatch.setattr(actclr, 'draw_shift', lambda n, share: 2)
    return model, views, masks, embeddings, key, queue, seen, drawn


@pytest.mark.parametrize('late', [False, True])
@pytest.mark.parametrize('weight', [0., .7])
def test_the_whole_step(monkeypatch, late, weight):
    model, views, masks, embeddings, key, queue, seen, drawn = injected(monkeypatch, late, contrast_weight=weight)
    layout, topk = get_layout('ntu25'), 5
    before = {name: view.clone() for name, view in views.items()}
    losses = model.loss(views, {})

    # Inputs of the three branches (steps 6 to 8). Style and mixing have their own oracles.
    styled = transfer_style(views['weak'], 2, 'joint', layout)
    expected = [blended(masks['normal'], views['normal'], views['strong']),
                blended(masks['weak'], styled, mix(styled, PLANS[0], layout)), mix(views['weak'], PLANS[1], layout)]
    for made, wanted in zip(seen, expected, strict=True):
        torch.testing.assert_close(made, wanted, rtol=1e-9, atol=1e-9)
    # From the late epoch on, the second branch pastes less. The third does not change.
    assert drawn == [dict(parts=(1, 2), cells=(1, 3)) if late else dict(parts=(2, 3), cells=(3, 5)), {}]
    assert all(torch.equal(views[name], before[name]) for name in views)

    plain, mixed = embeddings.detach(), mixed_keys(key, masks['weak'], PLANS[1], layout)
    for name, call, target in (('intra', 0, key), ('inter', 1, key), ('mixed', 2, mixed)):
        wanted = sum(kl_to_queue(plain[call, i], target[i], queue, topk) for i in range(N)) / N
        assert losses[f'loss_{name}'].item() == pytest.approx(wanted, rel=1e-9)
    if weight:
        wanted = sum(cross_entropy_to_key(plain[call, i], key[i], queue, .3) for call in (0, 1) for i in range(N))
        assert losses['loss_contrast'].item() == pytest.approx(weight * wanted / N / 2, rel=1e-9)
    names = {'loss_intra', 'loss_inter', 'loss_mixed', *(['loss_contrast'] if weight else [])}
    assert {name for name in losses if 'loss' in name} == names  # mmengine sums these with weight 1
    assert float(losses['mask_mean']) == pytest.approx(float(masks['normal'].mean()))
    sum(losses[name] for name in names).backward()  # the queue has changed in the meantime
    assert (embeddings.grad.abs().sum(2) > 0).all()
    torch.testing.assert_close(model.queue.keys, torch.cat([key, queue[N:]]))  # the clip's own key, not the mixed one


def overwritten(weak, shift, layout):
    """The released transfer of the joint stream: joint by joint from the root, in the memory of the clip itself."""
    original, bones = weak.clone(), torch.zeros_like(weak)
    for joint, parent in layout.bones:
        bones[:, :, :, joint] = original[:, :, :, joint] - original[:, :, :, parent]
    parents = dict(layout.bones)
    for joint in sorted(parents, key=lambda joint: depth(joint, parents)):
        for i in range(N):
            own, other = (bones[clip, :, :, joint].square().sum(0).add(1e-5).sqrt() for clip in (i, (i + shift) % N))
            weak[i, :, :, joint] = weak[i, :, :, parents[joint]] + bones[i, :, :, joint] * other / own


def depth(joint, parents):
    return 1 + depth(parents[joint], parents) if joint in parents else 0


@pytest.mark.parametrize('options, wanted', [
    (dict(transfer_in_place=True), ('intra', 'inter', 'mixed')), (dict(motion_adaptive=False), ('all', 'all', 'mixed')),
    (dict(branches=('inter', 'mixed')), (None, 'inter', 'mixed')),
    (dict(branches=['mixed', 'intra']), ('intra', None, 'mixed')), (dict(branches='inter'), (None, 'inter', None)),
    (dict(branches=('intra', 'inter'), motion_adaptive=False), ('all', 'all', None)),
    (dict(branches=('intra',), contrast_weight=.7), ('intra', None, None))], ids=str)
def test_variants_of_the_step(monkeypatch, options, wanted):
    """Each variant against a statement of its inputs, targets and losses. The random draws are the same in all."""
    model, views, masks, embeddings, key, queue, seen, drawn = injected(monkeypatch, **options)
    before, layout = {name: view.clone() for name, view in views.items()}, get_layout('ntu25')
    losses = model.loss(views, {})
    assert len(drawn) == 2 and all(torch.equal(views[name], before[name]) for name in views)

    styled, plain = views['weak'].clone(), views['weak'].clone()
    overwritten(styled, 2, layout)
    if 'transfer_in_place' in options:
        plain = styled
    mixed = mix(styled, PLANS[0], layout)
    inputs = dict(intra=blended(masks['normal'], views['normal'], views['strong']),
                  inter=blended(masks['weak'], styled, mixed), mixed=mix(plain, PLANS[1], layout))
    targets = dict(intra=key, inter=key, mixed=mixed_keys(key, masks['weak'], PLANS[1], layout))
    expected = {}
    for name, how in zip(('intra', 'inter', 'mixed'), wanted, strict=True):
        if how:
            clip = dict(intra=views['strong'], inter=mixed)[name] if how == 'all' else inputs[name]
            torch.testing.assert_close(seen[len(expected)], clip, rtol=1e-9, atol=1e-9)
            rows = embeddings[len(expected)].detach()
            expected[f'loss_{name}'] = sum(kl_to_queue(rows[i], targets[name][i], queue, 5) for i in range(N)) / N
    if 'contrast_weight' in options:
        rows = embeddings[0].detach()
        expected['loss_contrast'] = .7 * sum(cross_entropy_to_key(rows[i], key[i], queue, .3) for i in range(N)) / N
    assert len(seen) == len([how for how in wanted if how])
    assert {name: loss.item() for name, loss in losses.items() if 'loss' in name} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('options', [dict(mask='zeros'), dict(semantic_pooling=False)], ids=str)
def test_without_an_actionlet_the_key_is_the_plain_key(options):
    """Pooling nothing would add the projector's response to zeros to every key."""
    model, view = build(**options), rand(N, 3, FRAMES, V, M) - .4
    for p in model.key_encoder.projector.parameters():
        nn.init.normal_(p, std=.3)
    assert torch.equal(model.semantic_key(view, None), model.encode_key(view))
