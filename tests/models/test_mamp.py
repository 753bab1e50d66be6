"""MAMP and the tuning by nearest neighbours against plain statements, and what they promise on masks and queues."""
import math

import pytest
import torch
from torch.nn import functional as F

from benchmarks.reference.mamp import cross_decode
from mmskelssl.errors import UserError
from mmskelssl.models.backbones.vit import rotations
from mmskelssl.models.methods.mamp import motion, take, token_error
from mmskelssl.models.modules.masking import draw_visible, gumbel, motion_weights
from mmskelssl.registry import MODELS

VIT = dict(type='SkeletonViT', layout='sbu15', channels=16, depth=1, heads=2)


def build(name='MAMP', views=('clip',), backbone=VIT, **options):
    torch.manual_seed(0)
    if name == 'MAMP':
        options = dict(decoder_channels=8, decoder_depth=1, decoder_heads=2) | options
    return MODELS.build(dict(type=name, backbone=dict(backbone), **options, data_preprocessor=dict(
        type='SkeletonPreprocessor', layout='sbu15', views={view: [] for view in views})))


def clips(n=3, t=16, m=1, seed=0):
    return torch.randn(n, 3, t, 15, m, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_motion_of_tokens():
    patches = torch.randn(2, 4, 3, 6, generator=generator(), dtype=torch.float64)
    made = motion_weights(patches)
    for p in range(2):
        for t in range(4):
            for v in range(3):
                now = max(t, 1)
                expected = sum(abs(float(patches[p, now, v, i] - patches[p, now - 1, v, i])) for i in range(6)) / 6
                assert float(made[p, t, v]) == pytest.approx(expected, rel=1e-12)
    assert not motion_weights(patches[:, :1]).any()


def test_the_share_of_masked_tokens_is_exact_and_moving_ones_are_masked_more_often():
    weights = torch.tensor([[0., .5, 1., 1.]]).repeat(20_000, 1)
    valid = torch.ones_like(weights, dtype=torch.bool)
    visible = draw_visible(weights, valid, 1, .8, gumbel(20_000, 4, weights, generator()))
    assert visible.shape == (20_000, 1)
    masked = 1 - torch.bincount(visible.flatten(), minlength=4) / 20_000
    assert masked[0] < masked[1] - .02 < masked[2] - .04
    assert masked[2] == pytest.approx(float(masked[3]), abs=.01)
    # Masking three of four without replacement by softmax(weight / tau): the last to be drawn stays visible.
    shares = [math.exp(w / .8) for w in (0., .5, 1., 1.)]
    orders = [(i, j, k) for i in range(4) for j in range(4) for k in range(4) if len({i, j, k}) == 3]
    stays = sum(shares[i] / sum(shares) * shares[j] / (sum(shares) - shares[i])
                * shares[k] / (sum(shares) - shares[i] - shares[j]) for i, j, k in orders if 0 not in (i, j, k))
    assert float(1 - masked[0]) == pytest.approx(stays, abs=.01)
    even = draw_visible(weights, valid, 1, 0, gumbel(20_000, 4, weights, generator()))
    even = 1 - torch.bincount(even.flatten(), minlength=4) / 20_000
    assert even.tolist() == pytest.approx([.75] * 4, abs=.01)


def test_tokens_without_information_are_never_visible_while_others_are_left():
    valid = torch.tensor([[True, False, True, False, True]])
    weights = torch.rand(1, 5, generator=generator())
    visible = draw_visible(weights, valid, 3, .8, gumbel(1, 5, weights, generator()))
    assert sorted(visible[0].tolist()) == [0, 2, 4]


def test_error_of_tokens():
    prediction, target = torch.randn(2, 2, 5, 6, generator=generator(), dtype=torch.float64)
    hidden = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)
    for standardise in (True, False):
        errors = []
        for p, token in hidden.nonzero().tolist():
            numbers = target[p, token].tolist()
            centre = sum(numbers) / 6
            variance = sum((x - centre) ** 2 for x in numbers) / 5
            goal = [(x - centre) / math.sqrt(variance + 1e-6) if standardise else x for x in numbers]
            errors.append(sum((a - b) ** 2 for a, b in zip(prediction[p, token].tolist(), goal, strict=True)) / 6)
        made = token_error(prediction, target, hidden, standardise)
        assert float(made) == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    other = prediction.clone()
    other[~hidden] += 9  # visible tokens do not count
    assert torch.equal(token_error(other, target, hidden), token_error(prediction, target, hidden))
    assert token_error(prediction, torch.ones_like(target), hidden).isfinite()  # of a clip that does not move
    assert float(token_error(prediction, target, hidden & False)) == 0


def test_motion_is_the_step_to_the_next_frame():
    clip = clips()
    assert torch.equal(motion(clip)[:, :, 3], clip[:, :, 4] - clip[:, :, 3]) and not motion(clip)[:, :, -1].any()


def test_the_step_follows_its_parts():
    """Encode the visible tokens, put them back at their places, decode all, compare where hidden."""
    model, clip = build(mask_ratio=.8), clips()
    model.set_progress(type(model.progress)(0, 3, 10))
    made = model.loss(dict(clip=clip), {})
    model.set_progress(type(model.progress)(0, 3, 10))
    encoder = model.backbone
    patches, valid = encoder.patches(clip)
    weights = motion_weights(patches.view(3, 4, 15, 12)).flatten(1)
    noise = gumbel(3, 60, clip, model.data_preprocessor.generator(clip.device))
    visible = draw_visible(weights, valid, 12, .8, noise)
    errors = []
    for row in range(3):
        places = visible[row]
        encoded = encoder.encode(encoder.embed(patches[row:row + 1])[:, places], valid[row:row + 1, places],
                                 (places // 15)[None])
        joints = encoder.rows @ model.decoder_joints
        tokens = model.mask_token.expand(60, -1).clone()
        tokens[places] = model.bridge(encoded[0])
        tokens = tokens + joints.repeat(4, 1)
        turn = rotations(torch.arange(4).repeat_interleave(15)[None], 4, torch.float32)
        predicted = model.head(model.decoder_norm(model.decoder[0](
            tokens[None], turn, torch.ones(1, 1, 1, 60, dtype=torch.bool))))
        target = encoder.patches(motion(clip[row:row + 1]))[0]
        hidden = torch.ones(1, 60, dtype=torch.bool)
        hidden[0, places] = False
        errors.append(token_error(predicted, target, hidden))
    assert float(made['loss']) == pytest.approx(float(sum(errors) / 3), rel=1e-5)
    assert float(made['hidden']) == pytest.approx(48 / 60)


def test_absent_persons_and_missing_joints_change_nothing():
    model, alone = build(tau=0.), clips()
    both = torch.cat([alone, torch.zeros_like(alone)], 4)
    losses = []
    for clip in (alone, both):
        model.set_progress(type(model.progress)(0, 0, 10))
        losses.append(float(model.loss(dict(clip=clip), {})['loss']))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    alone[:, :, :, 4] = 0
    made = model.loss(dict(clip=alone), {})
    made['loss'].backward()
    assert made['loss'].isfinite() and float(made['hidden']) < .9


@pytest.mark.parametrize('span', [1, 3])
def test_the_cheap_decoder_attends_from_each_query_to_the_visible_tokens(span):
    model = build(decoder='cross', decoder_span=span, decoder_depth=2).double()
    for parameter in model.decoder.parameters():
        parameter.data.normal_(generator=generator(), std=.5)
    clip = clips(2, m=2).double()
    clip[0, ..., 1] = 0  # an absent person
    clip[1, :, :, 3] = 0  # a joint that is missing
    patches, valid = model.backbone.patches(clip)
    visible = torch.stack([torch.randperm(60, generator=generator(i))[:14] for i in range(4)])
    encoded = take(model.backbone.embed(patches), visible)
    made = model.cross_decode(encoded, visible, valid, model.backbone.times(60).expand(4, -1))
    assert made.shape == (4, 60, 12)
    torch.testing.assert_close(made, cross_decode(model, encoded, visible, valid), rtol=1e-9, atol=1e-9)
    made = model.loss(dict(clip=clip), {})
    made['loss'].backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize('options, message', [
    (dict(decoder='none'), 'self, cross'), (dict(decoder_span=2), "decoder='self' predicts each token by itself"),
    (dict(decoder='cross', decoder_span=0), 'decoder_span is 0'),
    (dict(mask_ratio=1.), 'mask_ratio is 1.0'), (dict(tau=-1), 'tau is -1'), (dict(target='depth'), 'motion, position'),
    (dict(decoder_heads=3), 'multiple of 2 \\* decoder_heads = 6'),
    (dict(backbone=dict(type='STGCN', layout='sbu15', hidden_channels=4)), 'which STGCN does not have')])
def test_impossible_options(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


CONV = dict(type='TemporalConvNet', layout='sbu15', channels=(4, 4, 8, 8))


@pytest.mark.parametrize('views', [('first',), ('first', 'second')])
def test_tuning_follows_its_definition(views):
    model = build('NNTuning', views, CONV, queue_size=7, predictor_channels=6, temperature=.5).double()
    model.queue_clips[:3] = torch.tensor([4, 9, 2])
    inputs = {name: clips(4, seed=i).double() for i, name in enumerate(views)}
    index = torch.tensor([2, 4, 7, 9])
    queue, ids = model.queue.keys.clone(), model.queue_clips.tolist()
    made = model.loss(inputs, dict(index=index))
    with torch.no_grad():
        zs = [model.projector(model.pool(model.backbone(x))) for x in inputs.values()]
        predictions = [F.normalize(model.predictor(z), dim=1) for z in zs]
    expected = 0.
    for own, z in enumerate(zs):
        p = predictions[len(zs) - 1 - own]
        for i in range(4):
            direction = F.normalize(z[i], dim=0)
            others = [j for j in range(7) if ids[j] != int(index[i])]
            nearest = max(others, key=lambda j: float(queue[j] @ direction))
            row = [float(queue[nearest] @ p[n]) / .5 for n in range(4)]
            expected -= (row[i] - math.log(sum(map(math.exp, row)))) / 4 / len(zs)
    assert float(made['loss'].detach()) == pytest.approx(expected, rel=1e-9)
    assert model.queue_clips.tolist() == [2, 4, 7, 9, *ids[4:]]
    torch.testing.assert_close(model.queue.keys[:4], F.normalize(zs[0], dim=1))


def test_frozen_parts():
    model = build('NNTuning', ('first',), VIT | dict(depth=2), queue_size=4, predictor_channels=6,
                  frozen=('backbone.patch.', 'backbone.joints', 'backbone.blocks.0.'))
    model.loss(dict(first=clips()), dict(index=torch.arange(3)))['loss'].backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert 'backbone.blocks.1.mlp.0.weight' in trained and not any(
        name.startswith(('backbone.patch.', 'backbone.joints', 'backbone.blocks.0.')) for name in trained)
    with pytest.raises(UserError, match="frozen names 'backbone.layer', but no parameter"):
        build('NNTuning', ('first',), VIT, frozen=('backbone.layer',))
