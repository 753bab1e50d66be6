"""The contract of every method: any batch, layout and person count, no labels, bf16, gradients only where promised."""
import copy

import pytest
import torch

from mmskelssl.errors import UserError
from mmskelssl.models import Progress
from mmskelssl.models.methods import __all__ as METHODS
from mmskelssl.registry import MODELS

WEAK = [dict(type='TemporalCrop'), dict(type='Shear')]
STRONG = [*WEAK, dict(type='SpatialFlip'), dict(type='GaussianNoise'), dict(type='Interpolate'), dict(type='Rescale')]


def build(method, layout='ntu25', stream='joint', **kwargs):
    views = {name: STRONG if name in ('strong', 'extreme') else WEAK
             for name in MODELS.get(method).view_names}
    return MODELS.build(dict(
        type=method, backbone=dict(type='STGCN', layout=layout, hidden_channels=4, out_channels=8,
                                   dropout=kwargs.pop('dropout', .5)),
        projector=dict(hidden_channels=8, out_channels=6), queue_size=kwargs.pop('queue_size', 16),
        data_preprocessor=dict(type='SkeletonPreprocessor', layout=layout, stream=stream, views=views), **kwargs))


def batch(n, layout='ntu25', persons=2, frames=16, seed=0):
    joints = dict(ntu25=25, kinect20=20, sbu15=15)[layout]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, frames, joints, persons, generator=generator) * .3
    return dict(inputs=x, data_samples=dict(index=torch.arange(n), num_frames=torch.full((n,), frames)))


def step(model, data, optimizer=None):
    views = model.data_preprocessor(data, True)
    losses = model(**views, mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    if optimizer:
        optimizer.step()
        optimizer.zero_grad()
    return total.item(), log


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_any_batch_size_even_beyond_the_queue(method, n):
    torch.manual_seed(0)
    model = build(method, queue_size=4)
    loss, _ = step(model, batch(n))
    assert loss == loss and int(model.queue.pointer) == min(n, 4) % 4


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('layout, persons, frames', [('kinect20', 1, 10), ('sbu15', 3, 7), ('ntu25', 2, 1)])
def test_any_layout_person_count_and_length(method, layout, persons, frames):
    torch.manual_seed(0)
    loss, _ = step(build(method, layout), batch(4, layout, persons, frames))
    assert loss == loss


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
def test_streams(method, stream):
    torch.manual_seed(0)
    loss, _ = step(build(method, stream=stream), batch(4))
    assert loss == loss


@pytest.mark.parametrize('method', METHODS)
def test_gradients_only_where_promised(method):
    torch.manual_seed(0)
    model, data = build(method), batch(6)
    before = data['inputs'].clone()
    step(model, data)
    assert all(p.grad is not None and p.grad.isfinite().all()
               for part in (model.backbone, model.projector) for p in part.parameters())
    assert all(p.grad is None for p in model.key.parameters())
    assert torch.equal(data['inputs'], before)


@pytest.mark.parametrize('method', METHODS)
def test_keys_are_found_after_training(method):
    """The loss alone deceives; whether a query finds its own key among the batch's does not."""
    torch.manual_seed(0)
    options = dict(ActCLR=dict(contrast_weight=1., mask='ones', topk=8), AimCLR=dict(mining_epoch=None)).get(method, {})
    model = build(method, in_batch=True, temperature=.2, momentum=dict(momentum=.9), dropout=0., **options)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    clips, found = batch(16), []
    clips['inputs'] = clips['inputs'].mean(2, keepdim=True) * 4 + clips['inputs'] * .1  # a pose of its own a clip
    for i in range(80):
        model.set_progress(Progress(0, i, 80))
        found.append(float(step(model, copy.deepcopy(clips), optimizer)[1]['batch_top1']))
    assert sum(found[-10:]) / 10 > 15 > sum(found[:5]) / 5 + 3  # chance is 6


@pytest.mark.parametrize('method', METHODS)
def test_views_depend_on_seed_and_iteration_alone(method):
    model, data = build(method), batch(3)

    def views(iteration):
        model.set_progress(Progress(0, iteration, 10))
        return model.data_preprocessor(copy.deepcopy(data), True)['inputs']
    first = views(3)
    torch.rand(7)
    views(4)
    again = views(3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(views(4)[name], first[name]) for name in first)


@pytest.mark.parametrize('method', METHODS)
def test_bf16(method):
    torch.manual_seed(0)
    model = build(method)
    with torch.autocast('cpu', torch.bfloat16):
        loss, _ = step(model, batch(4))
    assert loss == loss and all(p.grad.dtype == torch.float32 for p in model.backbone.parameters())


@pytest.mark.parametrize('method', METHODS)
def test_state_dict_round_trip(method):
    torch.manual_seed(0)
    model = build(method)
    step(model, batch(4))
    other = build(method)
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    x = batch(4, seed=1)['inputs']
    assert torch.equal(model.extract_feat(x), other.extract_feat(x))
    assert torch.equal(model.queue.keys, other.queue.keys)


@pytest.mark.parametrize('method', METHODS)
def test_features_do_not_depend_on_the_batch(method):
    model = build(method).eval()
    x = batch(5)['inputs']
    torch.testing.assert_close(model.extract_feat(x)[:2], model.extract_feat(x[:2]))


def test_wrong_views_are_refused():
    with pytest.raises(UserError, match='needs the views query, key; .* has strong'):
        MODELS.build(dict(type='SkeletonCLR', backbone=dict(type='STGCN', layout='ntu25', hidden_channels=4),
                          data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', views=dict(strong=[]))))


def test_a_batch_of_another_skeleton_is_refused():
    with pytest.raises(UserError, match=r'V = 25'):
        step(build('SkeletonCLR'), batch(2, 'kinect20'))


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
