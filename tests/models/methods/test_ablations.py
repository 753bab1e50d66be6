"""Options for ablations: every variant trains, and those without effect are reported."""
import pytest
import torch
from contract_methods import batch, build, step

from mmskelssl.augment import build_augments
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models.modules.actionlet import pool_parts, random_actionlet

SWAPS = [dict(fill='zeros'), dict(fill='noise'), dict(joints=(10, 15)), dict(fill='noise', joints=(10, 15))]
VARIANTS = [
    ('ActCLR', dict(mask='random')), ('ActCLR', dict(motion_adaptive=False)), ('ActCLR', dict(semantic_pooling=False)),
    ('ActCLR', dict(motion_adaptive=False, semantic_pooling=False, branches=('intra', 'inter'))),
    ('ActCLR', dict(transfer_in_place=True)), ('ActCLR', dict(branches=('inter', 'mixed'))),
    ('ActCLR', dict(branches=('intra', 'mixed'))), ('ActCLR', dict(branches=('intra', 'inter'))),
    ('ActCLR', dict(branches='mixed', mask='random')), ('ActCLR', dict(branches=['intra'], contrast_weight=1.)),
    ('CRRLReconstruct', dict(directions='forward')), ('CRRLReconstruct', dict(directions=['backward'])),
    ('CRRL', dict(directions=('backward',))), ('CRRL', dict(fusion='direct', head=None)),
    ('CRRLMotion', dict(momentum=dict(momentum=1.)))]


@pytest.mark.parametrize('method, options', VARIANTS, ids=str)
def test_every_variant_trains(method, options):
    torch.manual_seed(0)
    model = build(method, persons=1, **options)
    loss, log = step(model, batch(4, persons=1))
    assert loss == loss
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    wanted = dict(ActCLR='branches', CRRLReconstruct='directions', CRRL='directions').get(method)
    if wanted in options:
        names = [options[wanted]] if isinstance(options[wanted], str) else options[wanted]
        losses = {name.removeprefix('loss_') for name in log if name.startswith('loss_')}
        assert losses - {'contrast', 'distill'} == set(names)


@pytest.mark.parametrize('swap', SWAPS, ids=str)
def test_every_swap_of_skeattnclr_trains(swap):
    torch.manual_seed(0)
    model = build('SkeAttnCLR', persons=1)
    model.data_preprocessor.views['mixed'] = build_augments([dict(type='SwapParts', **swap)], 'ntu25')
    loss, log = step(model, batch(4, persons=1))
    assert loss == loss and {'loss_global', 'loss_salient', 'loss_rest'} <= set(log)


@pytest.mark.parametrize('layout', ['ntu25', 'kinect20'])
def test_a_random_actionlet_has_the_size_of_the_actionlet(layout):
    layout = get_layout(layout)
    parts = [list(joints) for joints in layout.parts.values()]
    generator = torch.Generator().manual_seed(0)
    mask = pool_parts(torch.rand(40, 2, 7, layout.num_joints, generator=generator), layout)
    before = mask.clone()
    made = random_actionlet(mask, layout, generator)
    assert torch.equal(mask, before) and made.shape == mask.shape

    def cells(x):  # one value per part and frame
        assert all(torch.equal(x[..., part], x[..., part[:1]].expand_as(x[..., part])) for part in parts)
        return x[..., [part[0] for part in parts]]
    for old, new in zip(cells(mask).flatten(0, 1), cells(made).flatten(0, 1), strict=True):
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)  # the same values,
        rows = {tuple(sorted(row)) for row in old.tolist()}
        assert {tuple(sorted(row)) for row in new.tolist()} == rows  # and parts move together in time
    assert not torch.equal(made, mask)


def test_a_random_actionlet_is_at_every_place_equally_often():
    layout, generator = get_layout('ntu25'), torch.Generator().manual_seed(0)
    mask = torch.zeros(4000, 2, 6, 25)
    mask[:, :, 2:4, list(layout.parts['left_arm'])] = 1
    share = random_actionlet(mask, layout, generator).mean((0, 1))
    torch.testing.assert_close(share, torch.full((6, 25), 2 / 30), atol=.012, rtol=0)


def test_random_actionlets_are_drawn_anew_for_each_view_and_step():
    model, view = build('ActCLR', mask='random', dropout=0.), batch(4)['inputs']
    anchor = model.static_anchor(view)
    first, second = model.masks(view, anchor), model.masks(view, anchor)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.flatten().sort().values.mean(), second.mean(), atol=.1, rtol=0)


def test_a_single_direction_is_that_of_both():
    """Leaving out a direction does not change the loss of the other."""
    data, losses = batch(4, lengths=[5, 16, 1, 9]), []
    for directions in (('forward', 'backward'), 'forward', 'backward'):
        torch.manual_seed(0)
        model = build('CRRLReconstruct', directions=directions, dropout=0.)
        losses.append({name: float(value.detach()) for name, value in step(model, data)[1].items()})
    both, *single = losses
    for log, name in zip(single, ('loss_forward', 'loss_backward'), strict=True):
        assert log[name] == pytest.approx(both[name], rel=1e-6) and log['loss'] == log[name]


def test_direct_fusion_compares_the_features_themselves():
    torch.manual_seed(0)
    model, data = build('CRRL', fusion='direct', head=None, dropout=0., distill_weight=.5), batch(4)
    _, log = step(model, data)
    model.eval()
    clip = model.data_preprocessor(data, True)['inputs']['clip']
    frames = data['data_samples']['num_frames']
    student, teacher = (model.pool(net(clip, frames), frames) for net in (model.backbone, model.teacher))
    assert log['loss_distill'].item() == pytest.approx(
        .5 * (student - teacher).square().sum(1).mean().item(), abs=1e-6)
    assert not list(model.head.parameters())


@pytest.mark.parametrize('method, options, lines', [
    ('ActCLR', dict(mask='zeros', motion_adaptive=False), ["motion_adaptive will be ignored, as mask is 'zeros'"]),
    ('ActCLR', dict(mask='ones', semantic_pooling=False, anchor='running'),
     ["anchor and semantic_pooling will be ignored, as mask is 'ones'"]),
    ('ActCLR', dict(mask='ones', motion_adaptive=False), []),
    ('ActCLR', dict(mask='random', threshold='relative', anchor='running'), []),
    ('ActCLR', dict(branches='mixed', contrast_weight=1., in_batch=True),
     ['contrast_weight and in_batch will be ignored, as branches has neither intra nor inter']),
    ('ActCLR', dict(branches=('intra', 'mixed'), late_epoch=3),
     ['late_epoch will be ignored, as branches has no inter']),
    ('ActCLR', dict(branches=('intra', 'inter'), transfer_in_place=True),
     ['transfer_in_place will be ignored, as branches has no mixed']),
    ('ActCLR', dict(stream='bone', transfer_in_place=True),
     ['transfer_in_place will be ignored, as the stream is bone']),
    ('ActCLR', dict(branches='intra', motion_adaptive=False, semantic_pooling=False, threshold='relative'),
     ['threshold will be ignored, as motion_adaptive and semantic_pooling are off and branches has no mixed']),
    ('CRRL', dict(fusion='direct', head=dict(hidden_channels=4)), ["head will be ignored, as fusion is 'direct'"])],
    ids=str)
def test_options_without_effect_are_reported(method, options, lines, monkeypatch):
    printed = []
    monkeypatch.setattr('mmskelssl.models.base.print_log', lambda text, *args: printed.append(text))
    build(method, **options)
    assert len(printed) == len(lines)
    assert all(text.startswith(f'{method}: {line}') for text, line in zip(printed, lines, strict=True))


@pytest.mark.parametrize('method, options, message', [
    ('ActCLR', dict(branches=()), r'branches is \(\): choose one or more of intra, inter, mixed'),
    ('ActCLR', dict(branches=('intra', 'intra')), 'name each only once'),
    ('ActCLR', dict(branches='plain'), "branches is 'plain': choose one of intra, inter, mixed"),
    ('ActCLR', dict(motion_adaptive='no'), "motion_adaptive is 'no'; it must be True or False"),
    ('CRRLReconstruct', dict(directions='reverse'), "directions is 'reverse': choose one of forward, backward"),
    ('CRRL', dict(fusion='sum'), "fusion is 'sum': choose one of head, direct")], ids=str)
def test_mistakes_are_named(method, options, message):
    with pytest.raises(UserError, match=f'{method}: {message}' if 'once' not in message else message):
        build(method, **options)
