"""Valid combinations of encoders and methods, and options of single methods."""
import pytest
import torch
from contract_methods import QUEUED, batch, build, step

from mmskelssl.errors import UserError

SEQUENCE_ENCODERS = ['BiGRU', 'TemporalConvNet']
CONTRASTS = [('SkeletonCLR', {}), ('SimCLR', {}), ('SkeAttnCLR', {}), ('AimCLR', dict(drop_keep=None)),
             ('ActCLR', dict(mask='ones')), ('ActCLR', dict(mask='zeros'))]


@pytest.mark.parametrize('method, options', CONTRASTS)
@pytest.mark.parametrize('kind', SEQUENCE_ENCODERS)
@pytest.mark.parametrize('n, frames, persons', [(4, 16, 2), (3, 5, 1), (1, 1, 1)])
def test_contrast_on_sequence_encoders(method, options, kind, n, frames, persons):
    torch.manual_seed(0)
    model = build(method, persons=persons, kind=kind, **options)
    loss, _ = step(model, batch(n, persons=persons, frames=frames))
    assert loss == loss
    assert model.eval().extract_feat(batch(n, persons=persons, frames=frames)['inputs']).shape == (n, 8)


@pytest.mark.parametrize('method, options', CONTRASTS)
@pytest.mark.parametrize('kind', ['STGCN', *SEQUENCE_ENCODERS])
def test_mean_and_maximum(method, options, kind):
    torch.manual_seed(0)
    model = build(method, kind=kind, pooling='mean_max', **options)
    loss, _ = step(model, batch(4))
    assert loss == loss
    assert model.eval().extract_feat(batch(4)['inputs']).shape == (4, 16)


@pytest.mark.parametrize('kind', SEQUENCE_ENCODERS)
@pytest.mark.parametrize('method, message', [
    ('AimCLR', 'the attention drop needs a feature map over joints, which {} does not return: set drop_keep=None'),
    ('ActCLR', "an actionlet needs a feature map over joints, which {} does not return: set mask='ones'")])
def test_what_needs_joints_says_so_when_it_is_built(method, kind, message):
    with pytest.raises(UserError, match=message.format(kind)):
        build(method, kind=kind)


@pytest.mark.parametrize('method', ['CRRLMotion', 'CRRLReconstruct', 'CRRL'])
@pytest.mark.parametrize('kind', ['STGCN', 'TemporalConvNet'])
def test_crrl_refuses_an_encoder_without_a_state_a_frame(method, kind):
    with pytest.raises(UserError, match=rf'{method} needs a sequence encoder .*such as BiGRU; {kind} does not qualify'):
        build(method, kind=kind)


@pytest.mark.parametrize('kind', SEQUENCE_ENCODERS)
def test_another_number_of_persons_is_refused(kind):
    with pytest.raises(UserError, match='the clips have 2 persons of 25 joints.* built for 1 of 25 .*num_persons'):
        step(build('SkeletonCLR', persons=1, kind=kind), batch(2))


@pytest.mark.parametrize('method', QUEUED)
def test_no_negatives_at_all_are_refused(method):
    with pytest.raises(UserError, match='queue_size=0 leaves no'):
        build(method, queue_size=0)
    with pytest.raises(UserError, match='queue_size is -1'):
        build(method, queue_size=-1)


@pytest.mark.parametrize('n', [1, 4])
@pytest.mark.parametrize('method', [name for name in QUEUED if name != 'ActCLR'])
def test_the_batch_alone_as_negatives(method, n):
    torch.manual_seed(0)
    options = dict(mining_epoch=None) if method == 'AimCLR' else {}
    loss, _ = step(build(method, queue_size=0, in_batch=True, **options), batch(n))
    assert loss == loss


@pytest.mark.parametrize('method, options, message', [
    ('ActCLR', dict(in_batch=True), 'leaves no similarities to compare: set a queue_size'),
    ('ActCLR', dict(in_batch=True, contrast_weight=1.), 'leaves no similarities to compare: set a queue_size'),
    ('AimCLR', dict(in_batch=True), 'leaves no neighbours to mine: set mining_epoch=None')])
def test_what_needs_a_queue_says_so_when_it_is_built(method, options, message):
    with pytest.raises(UserError, match=message):
        build(method, queue_size=0, **options)


@pytest.mark.parametrize('method, options, message', [
    ('ActCLR', dict(topk=0), 'topk is 0'), ('AimCLR', dict(mined=0), 'mined is 0'),
    ('AimCLR', dict(topk=3), 'topk is called mined .* write mined=3')])
def test_mistakes_in_what_is_taken_from_the_queue_are_named(method, options, message):
    with pytest.raises(UserError, match=message):
        build(method, **options)


@pytest.mark.parametrize('method, options, message', [
    ('ActCLR', dict(temperature=.3), 'ActCLR: temperature will be ignored, as contrast_weight is 0'),
    ('ActCLR', dict(temperature=.3, in_batch=True), 'ActCLR: temperature and in_batch will be ignored'),
    ('ActCLR', dict(temperature=.3, in_batch=True, contrast_weight=1.), None), ('ActCLR', {}, None),
    ('ActCLR', dict(mask='ones', threshold='relative'), "ActCLR: threshold will be ignored, as mask is 'ones'"),
    ('AimCLR', dict(mining_epoch=None, mined=2), 'AimCLR: mined will be ignored, as mining_epoch is None'),
    ('AimCLR', dict(mining_epoch=None), None), ('SkeAttnCLR', {}, None),
    ('SkeAttnCLR', dict(mask='none', attention=None), None),
    ('SkeAttnCLR', dict(mask='none'), "SkeAttnCLR: attention will be ignored, as mask is 'none'")])
def test_options_without_effect_are_reported(method, options, message, monkeypatch):
    lines = []
    monkeypatch.setattr('mmskelssl.models.base.print_log', lambda text, *args: lines.append(text))
    build(method, **options)
    assert len(lines) == bool(message) and (not message or lines[0].startswith(message))


@pytest.mark.parametrize('options, message', [
    (dict(key_head='random'), "key_head is 'random': choose one of fixed, momentum"),
    (dict(velocity='scaled'), "velocity is 'scaled': choose one of difference, range")])
def test_mistakes_in_crrl_are_named(options, message):
    with pytest.raises(UserError, match=message):
        build('CRRLMotion', **options)


@pytest.mark.parametrize('options, message', [
    (dict(heads=3), 'attention.heads is 3; it must divide the 8 channels'),
    (dict(heads=2, init='zero'), "init is 'zero': choose one of normal, xavier")])
def test_mistakes_in_the_attention_mask_are_named(options, message):
    with pytest.raises(UserError, match=message):
        build('SkeAttnCLR', attention=options)


@pytest.mark.parametrize('init', ['normal', 'xavier'])
def test_attention_mask_at_the_start(init):
    """The small weights of the original code keep the mask at 1/2 everywhere."""
    torch.manual_seed(0)
    mask = build('SkeAttnCLR', attention=dict(heads=2, init=init)).attention(torch.randn(2, 1, 8, 3, 5))
    assert (mask.std() > .02) == (init == 'xavier') and abs(mask.mean() - .5) < .1


def test_skeattnclr_without_predictors():
    """Without predictors, the projections themselves are compared."""
    torch.manual_seed(0)
    model = build('SkeAttnCLR', predictor_channels=None)
    assert not list(model.predictors.parameters())
    projected = torch.randn(3, 6)
    torch.testing.assert_close(model.predict('rest', projected), torch.nn.functional.normalize(projected, dim=1))
    loss, _ = step(model, batch(4))
    assert loss == loss


@pytest.mark.parametrize('options', [dict(mask='ones'), dict(mask='zeros'), dict(threshold='relative'),
                                     dict(anchor='running'), dict(contrast_weight=1., in_batch=True)])
def test_actclr_options(options):
    torch.manual_seed(0)
    model = build('ActCLR', **options)
    _, log = step(model, batch(6))
    if 'mask' in options:
        assert float(log['mask_mean']) == dict(ones=1., zeros=0.)[options['mask']]
    assert ('loss_contrast' in log) == ('contrast_weight' in options)


def test_aimclr_mines_the_nearest_queue_entry_of_any_view():
    model = build('AimCLR', queue_size=5)
    logits = [torch.tensor([[9., 1., 5., 2., 0., 0.]]), torch.tensor([[0., 7., 5., 2., 0., 0.]]),
              torch.tensor([[0., 1., 5., 2., 0., 0.]])]
    assert model.mine(*logits).tolist() == [[1., 1., 1., 0., 0., 0.]]
