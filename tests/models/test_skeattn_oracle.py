"""SkeAttnCLR's loss against a second implementation of docs/methods.md 2: loops over heads, tokens, clips, in float64.

The oracle works on torch scalars, so that its gradients are exact too: what the method detaches, it detaches.
"""
import pytest
import torch
from torch import nn

from mmskelssl.augment import MixPlan, mixing
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models import Progress, SkeletonPreprocessor
from mmskelssl.models.methods import SkeAttnCLR

N, M, FRAMES, V, D, E, K, HEADS = 3, 2, 6, 2, 4, 5, 7, 2
CELLS, TEMPERATURE, MOMENTUM = 2, .2, .9
close = dict(rtol=1e-10, atol=1e-13)


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - .5


class Toy(nn.Module):
    """A backbone that a loop can follow: each channel a mixture of the coordinates of a cell's first frame."""
    out_channels = D

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(rand(D, 3, seed=1) + .2)

    def forward(self, x, num_frames=None):
        return torch.einsum('dc,nctvm->nmdtv', self.weight, x[:, :, ::3]).relu()


def build(local_weight=.4, in_batch=False, **options):
    torch.manual_seed(0)
    model = SkeAttnCLR(Toy(), projector=dict(hidden_channels=6, out_channels=E, norm=True), queue_size=K,
                       in_batch=in_batch, temperature=TEMPERATURE, predictor_channels=3, local_weight=local_weight,
                       momentum=dict(momentum=MOMENTUM, buffers='ema'), attention=dict(heads=HEADS, sharpness=2.),
                       **options).double()
    for i, p in enumerate(model.parameters()):
        with torch.no_grad():  # replace the small initial weights, differently in both encoders
            p.copy_(rand(*p.shape, seed=10 + i) * 2 + (p.dim() == 1))
    model.key_encoder.updates.fill_(5)
    return model


def views():
    return {name: rand(N, 3, FRAMES, V, M, seed=i) for i, name in enumerate(('query', 'key', 'mixed'))}


# The oracle: features are dicts {(clip, person, token): vector of D}

def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def linear(layer, vector):
    out = torch.stack([dot(row, vector) for row in layer.weight])
    return out if layer.bias is None else out + layer.bias


def encode(weight, clips):
    return {(n, m, cell * V + v): torch.stack([dot(row, clips[n, :, 3 * cell, v, m]) for row in weight]).clamp(min=0.)
            for n in range(N) for m in range(M) for cell in range(CELLS) for v in range(V)}


def attention_mask(attention, features):
    """Compute the salience of each token and channel, using only the tokens of the same person."""
    width, mask = D // HEADS, {}
    for n in range(N):
        for m in range(M):
            q, k, v = [], [], []
            for token in range(CELLS * V):
                x = features[n, m, token]
                mean = sum(x) / D
                variance = sum((value - mean) ** 2 for value in x) / D
                x = (x - mean) / (variance + 1e-5).sqrt() * attention.norm.weight + attention.norm.bias
                row = linear(attention.qkv, x)
                q.append(row[:D]), k.append(row[D:2 * D]), v.append(row[2 * D:])
            for token in range(CELLS * V):
                joined = []
                for head in range(HEADS):
                    own = slice(head * width, (head + 1) * width)
                    score = [dot(q[token][own], other[own]) / width ** .5 for other in k]
                    total = sum(s.exp() for s in score)
                    for channel in range(head * width, (head + 1) * width):
                        joined.append(sum(s.exp() / total * other[channel] for s, other in zip(score, v, strict=True)))
                out = linear(attention.out, torch.stack(joined))
                mask[n, m, token] = 1 / (1 + (-2. * out).exp())
    return mask


def pooled(features, weight=None):
    """Sum over the tokens divided by their number, regardless of the mask's sum, then average over persons."""
    return [sum(features[n, m, token] * (1. if weight is None else weight[n, m, token])
                for m in range(M) for token in range(CELLS * V)) / (CELLS * V) / M for n in range(N)]


def two_layers(head, rows):
    """Linear layer, batch norm with the biased variance of the batch, ReLU, linear layer; no biases."""
    first, norm, last = head.mlp[0], head.mlp[1], head.mlp[3]
    hidden = [linear(first, row) for row in rows]
    mean = sum(hidden) / N
    variance = sum((row - mean) ** 2 for row in hidden) / N
    hidden = [((row - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias).clamp(min=0.) for row in hidden]
    return [linear(last, row) for row in hidden]


def on_sphere(rows):
    return [row / dot(row, row).sqrt() for row in rows]


def info_nce(queries, keys, queue, in_batch, extra=None):
    total = 0.
    for i, query in enumerate(queries):
        others = [keys[j] for j in range(N) if in_batch and j != i] + ([] if extra is None else [extra[i]])
        logits = [dot(query, other) / TEMPERATURE for other in (keys[i], *queue, *others)]
        total -= (logits[0].exp() / sum(logit.exp() for logit in logits)).log() / N
    return total


def oracle(model, views, queue, local_weight, in_batch):
    """Return the three weighted losses, the keys of the whole clips, and the mask."""
    whole = on_sphere(two_layers(model.predictors['whole'], two_layers(model.projector, pooled(
        encode(model.backbone.weight, views['query'])))))
    mixed = encode(model.backbone.weight, views['mixed'])
    mask = attention_mask(model.attention, mixed)
    rest_mask = {place: 1 - value for place, value in mask.items()}
    salient, rest = (on_sphere(two_layers(model.predictors[name], two_layers(model.projector, pooled(mixed, half))))
                     for name, half in (('salient', mask), ('rest', rest_mask)))
    with torch.no_grad():  # apply the query's mask to the key's features
        features = encode(model.key_encoder.backbone.weight, views['key'])
        keys, key_salient, key_rest = (on_sphere(two_layers(model.key_encoder.projector, pooled(features, half)))
                                       for half in (None, mask, rest_mask))
    detached = {name: [row.detach() for row in rows] for name, rows in (('salient', salient), ('rest', rest))}
    losses = dict(loss_global=info_nce(whole, keys, queue, in_batch),
                  loss_salient=local_weight * info_nce(salient, key_salient, queue, in_batch, detached['rest']),
                  loss_rest=(1 - local_weight) * info_nce(rest, key_rest, queue, in_batch, detached['salient']))
    return losses, torch.stack(keys), mask


@pytest.mark.parametrize('local_weight', [.4, 1.])
@pytest.mark.parametrize('in_batch', [False, True])
def test_the_whole_loss_and_its_gradients(local_weight, in_batch):
    model, twin, clips = (*(build(local_weight, in_batch) for _ in range(2)), views())
    model.set_progress(Progress(0, 3, 10))
    queue = twin.queue.keys.clone()
    with torch.no_grad():  # the key encoder is updated before the step
        for name in ('backbone', 'projector'):
            for key, query in zip(getattr(twin.key_encoder, name).parameters(), getattr(twin, name).parameters(),
                                  strict=True):
                key.copy_(MOMENTUM * key + (1 - MOMENTUM) * query)
    expected, keys, mask = oracle(twin, clips, queue, local_weight, in_batch)
    made = model.loss(clips, {})

    assert {name for name in made if 'loss' in name} == set(expected)  # mmengine adds up these
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, **close)
    sum(expected.values()).backward()
    sum(made[name] for name in expected).backward()
    theirs = dict(twin.named_parameters())
    for name, p in model.named_parameters():
        if name.startswith('key_encoder.'):
            assert p.grad is None
        else:
            assert p.grad is not None, name
            wanted = theirs[name].grad
            torch.testing.assert_close(p.grad, torch.zeros_like(p) if wanted is None else wanted, rtol=1e-9, atol=1e-12)
    assert model.attention.qkv.weight.grad.abs().max() > 1e-6
    torch.testing.assert_close(made['mask_mean'], sum(mask.values()).sum() / (N * M * CELLS * V * D), **close)
    torch.testing.assert_close(model.queue.keys, torch.cat([keys, queue[N:]]), **close)  # the keys of the whole clips
    assert int(model.queue.pointer) == N


def test_mask():
    model = build()
    features = rand(N, M, D, CELLS, V, seed=3)
    made = model.attention(features)
    expected = attention_mask(model.attention, {(n, m, t * V + v): features[n, m, :, t, v] for n in range(N)
                                                for m in range(M) for t in range(CELLS) for v in range(V)})
    for (n, m, token), value in expected.items():
        torch.testing.assert_close(made[n, m, :, token // V, token % V], value, **close)
    assert made.std() > .05  # a constant mask would not test anything


def test_halves_sum_to_the_whole():
    model, features, mask = build(), rand(N, M, D, CELLS, V), rand(N, M, D, CELLS, V, seed=1) + .5
    torch.testing.assert_close(sum(model.split(features, mask)), model.pool(features), **close)


def test_key_statistics_are_averaged_too():
    """The published momentum also applies to the statistics of the batch norms."""
    model = build()
    before, online = model.key_encoder.projector.mlp[1].running_mean, model.projector.mlp[1].running_mean
    before.fill_(1.), online.fill_(3.)
    model.key_encoder.update(0.)
    torch.testing.assert_close(before, torch.full_like(before, 1.2))


@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_joints_are_swapped_before_the_stream_is_taken(monkeypatch, stream):
    """Bones and movements across the edge of a pasted region connect two bodies."""
    layout, plan = get_layout('kinect20'), MixPlan(2, 'cutmix', (1, 3), 1, 2)
    monkeypatch.setattr(mixing, 'draw_mix', lambda *args: plan)
    x = rand(N, 3, 18, 20, 1)
    preprocessor = SkeletonPreprocessor(layout, stream, views=dict(query=[], key=[], mixed=[
        'query', dict(type='SwapParts')]))
    made = preprocessor(dict(inputs=x), True)['inputs']['mixed']

    joints = [j for i in plan.parts for j in list(layout.parts.values())[i]]
    swapped = x.clone()
    for n in range(N):
        for t in range(4, 12):
            for joint in joints:
                swapped[n, :, t, joint] = x[(n + 2) % N, :, t, joint]

    def in_stream(clips):
        out = torch.zeros_like(clips)
        for joint, parent in enumerate(layout.parents):
            for t in range(18):
                here = clips[:, :, t, joint]
                if stream == 'joint':
                    out[:, :, t, joint] = here
                elif stream == 'bone':
                    out[:, :, t, joint] = here - clips[:, :, t, parent]
                elif t < 17:
                    out[:, :, t, joint] = clips[:, :, t + 1, joint] - here
        return out
    torch.testing.assert_close(made, in_stream(swapped), rtol=0, atol=1e-15)
    if stream != 'joint':  # the other order gives a different clip
        late = in_stream(x)
        for t in range(4, 12):
            late[:, :, t, joints] = in_stream(x).roll(-2, 0)[:, :, t, joints]
        assert (late - made).abs().max() > .1


def test_without_a_mask_the_global_contrast_is_left():
    model, twin = build(mask='none'), build()
    shared = {name: value for name, value in twin.state_dict().items() if name in model.state_dict()}
    assert set(model.state_dict()) == set(shared) < set(twin.state_dict())
    model.load_state_dict(shared)
    for built in (model, twin):
        built.set_progress(Progress(0, 3, 10))
    made, whole = model.loss(views(), {}), twin.loss(views(), {})
    assert [name for name in made if 'loss' in name] == ['loss_global'] and 'mask_mean' not in made
    torch.testing.assert_close(made['loss_global'], whole['loss_global'], **close)
    torch.testing.assert_close(model.queue.keys, twin.queue.keys, **close)
    with pytest.raises(UserError, match="trained with mask='none' has no mask to show"):
        model.attention_map(views()['query'])
    with pytest.raises(UserError, match="mask is 'ones': choose one of attention, none"):
        build(mask='ones')
