"""Contract of all methods: any batch, layout and person count, no labels, bf16, gradients only where promised."""
import copy
import math

import pytest
import torch
from contract_methods import BODY31, METHODS, QUEUED, SEQUENCES, batch, build, promised, step

from mmskelssl.apis import list_methods
from mmskelssl.augment import STREAMS
from mmskelssl.engine.collapse import loss_at_chance
from mmskelssl.errors import UserError
from mmskelssl.models import Progress
from mmskelssl.models.modules.heads import Projector
from mmskelssl.registry import MODELS

every_method = pytest.mark.parametrize('method', METHODS)
OTHERS = [name for name in METHODS if name not in SEQUENCES]


def test_every_registered_method_is_covered():
    missing = sorted(set(list_methods()) ^ set(METHODS))
    assert not missing, f'{missing}: an entry in contract_methods.py for each registered method, and for no other'
    assert any(MODELS.get(name).__module__.startswith('skelplug.') for name in METHODS)  # includes the plug-in's method


@every_method
@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_any_batch_size_even_beyond_the_queue(method, n):
    torch.manual_seed(0)
    model = build(method, **dict(queue_size=4) if method in QUEUED else {})
    loss, _ = step(model, batch(n))
    assert loss == loss and all(p.grad.isfinite().all() for p in promised(model).values())
    if method in QUEUED:
        assert int(model.queue.pointer) == min(n, 4) % 4


@every_method
@pytest.mark.parametrize('persons, frames, n', [(1, 10, 4), (2, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize('layout', ['kinect20', 'ntu25', 'sbu15', BODY31], ids=str)
def test_any_layout_person_count_and_length(method, layout, persons, frames, n):
    torch.manual_seed(0)
    loss, _ = step(build(method, layout, persons=persons), batch(n, layout, persons, frames))
    assert loss == loss


@pytest.mark.parametrize('method', OTHERS)
def test_three_persons(method):
    torch.manual_seed(0)
    loss, _ = step(build(method, 'sbu15'), batch(4, 'sbu15', 3, 7))
    assert loss == loss


@every_method
@pytest.mark.parametrize('stream', STREAMS)
def test_streams(method, stream):
    torch.manual_seed(0)
    loss, _ = step(build(method, stream=stream), batch(4))
    assert loss == loss


@every_method
def test_gradients_only_where_promised(method):
    torch.manual_seed(0)
    model, data = build(method), batch(6)
    before = data['inputs'].clone()
    step(model, data)
    moved = promised(model)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in moved.values())
    assert any(name.startswith('backbone.') and p.grad.abs().sum() > 0 for name, p in moved.items())
    assert all(p.grad is None and not p.requires_grad for name, p in model.named_parameters() if name not in moved)
    assert torch.equal(data['inputs'], before)


@every_method
def test_no_label_is_ever_read(method):
    losses = []
    for label in (None, torch.tensor([3, 1, 0])):
        torch.manual_seed(0)
        model, data = build(method), batch(3)
        data['data_samples'].update({} if label is None else dict(label=label))
        losses.append(step(model, data)[0])
    assert losses[0] == losses[1]


# Learning rate of each method, and the options that it needs to memorise 16 clips in 80 steps. The clips show one
# person with 15 joints, because the encoder takes most of the time.
WIDE = dict(width=16, projector=dict(hidden_channels=32, out_channels=16))
FAST = dict(**WIDE, kind='TemporalConvNet')
LESSONS = dict(
    SkeletonCLR=(1e-3, dict()), AimCLR=(2e-3, dict(mining_epoch=None)),
    ActCLR=(1e-3, dict(contrast_weight=1., mask='ones', topk=8)), SkeAttnCLR=(3e-3, FAST),
    SimCLR=(3e-3, dict(**FAST, temperature=.2)), BarlowTwins=(3e-3, FAST),
    AlignUniform=(3e-3, FAST), VICReg=(1e-2, dict(FAST, projector=dict(WIDE['projector'], norm=True))),
    BYOL=(3e-3, dict(**FAST, momentum=dict(momentum=.9))),
    FeatureDecorrelation=(3e-3, FAST), NNTuning=(3e-3, dict(width=16, kind='TemporalConvNet')),
    MAMP=(3e-3, dict(width=16, target='position', tau=0., standardise=False, mask_ratio=.5,
                     decoder_channels=32)),
    SLiM=(3e-3, dict(width=16, momentum=dict(momentum=.9), teacher_temperature=(.07, .07), head=dict(
        hidden_channels=32, bottleneck_channels=16, prototypes=32))),
    CRRLMotion=(1e-2, dict(**WIDE, key_head='momentum', velocity='range')),
    CRRLReconstruct=(1e-2, dict(width=16)), CRRL=(1e-2, dict(width=16)))


@pytest.mark.slow
@every_method
def test_training_teaches(method):
    """The loss alone can mislead. If keys are compared, a query must find its own key within the batch."""
    torch.manual_seed(0)
    rate, options = LESSONS[method]
    if method in QUEUED:
        options = dict(in_batch=True, temperature=.2, momentum=dict(momentum=.9), **options)
    model = build(method, 'sbu15', persons=1, dropout=0., **options)
    optimizer = torch.optim.Adam(promised(model).values(), rate)
    clips, logs = batch(16, 'sbu15', 1), []
    pose = clips['inputs'].mean(2, keepdim=True)
    if method in SEQUENCES:  # each clip has its own pose and its own direction
        clips['inputs'] = pose * 4 + pose.roll(1, 0) * torch.linspace(0, 4, 16).view(-1, 1, 1)
    elif method == 'MAMP':  # each clip has its own place, which any visible joint shows
        clips['inputs'] = (pose[:, :, :, :1] * 4).expand_as(clips['inputs']) + clips['inputs'] * .1
    else:  # each clip has its own pose
        clips['inputs'] = pose * 4 + clips['inputs'] * .1
    for i in range(80):
        model.set_progress(Progress(0, i, 80))
        log = step(model, copy.deepcopy(clips), optimizer)[1]
        logs.append({name: float(value.detach()) for name, value in log.items()})
    if method in ('VICReg', 'FeatureDecorrelation'):  # untrained, they tell most of these clips apart already
        assert logs[-1]['loss'] < .7 * logs[0]['loss']
    elif 'batch_top1' in logs[0]:
        before, after = (sum(log['batch_top1'] for log in part) / len(part) for part in (logs[:5], logs[-10:]))
        assert after > max(15, before + 3)  # chance is 6
    else:
        for name in (name for name in logs[0] if 'loss' in name):
            assert logs[-1][name] < .7 * logs[0][name], name


@every_method
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


@every_method
def test_bf16(method):
    torch.manual_seed(0)
    model = build(method)
    with torch.autocast('cpu', torch.bfloat16):
        loss, _ = step(model, batch(4))
    assert loss == loss and all(p.grad.dtype == torch.float32 for p in model.backbone.parameters())


@every_method
def test_state_dict_round_trip(method):
    """A copy of the state reproduces the features and the next steps of the model."""
    torch.manual_seed(0)
    model = build(method, dropout=0.)
    step(model, batch(4))
    other = build(method, dropout=0.)
    other.load_state_dict(model.state_dict())
    x = batch(4, seed=1)['inputs']
    assert torch.equal(model.eval().extract_feat(x), other.eval().extract_feat(x))
    for one in (model, other):
        one.train().set_progress(Progress(0, 1, 10))
    assert step(model, batch(4, seed=2))[0] == step(other, batch(4, seed=2))[0]
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@every_method
def test_features_do_not_depend_on_the_batch(method):
    model = build(method).eval()
    x = batch(5)['inputs']
    torch.testing.assert_close(model.extract_feat(x)[:2], model.extract_feat(x[:2]))


LENGTHS = [5, 16, 1, 9]


@pytest.mark.parametrize('method', SEQUENCES)
@pytest.mark.parametrize('garbage', [1e3, torch.nan], ids=str)
def test_padded_frames_change_nothing(method, garbage):
    """Padded frames affect neither loss nor gradient nor features, regardless of what the augmentation writes there."""
    clean = batch(4, lengths=LENGTHS)
    dirty = copy.deepcopy(clean)
    for clip, length in zip(dirty['inputs'], LENGTHS, strict=True):
        clip[:, length:] = garbage
    models, losses, features = [], [], []
    for data in (clean, dirty):
        torch.manual_seed(0)
        models.append(build(method, dropout=0.))
        losses.append(step(models[-1], data)[0])
        features.append(models[-1].eval()(data['inputs'], data['data_samples'], mode='predict'))
    assert losses[0] == losses[1] and torch.equal(*features)
    for one, other in zip(*(promised(model).values() for model in models), strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize('method', SEQUENCES)
def test_features_of_a_padded_clip_are_those_of_the_clip(method):
    model, data = build(method).eval(), batch(4, lengths=LENGTHS)
    together = model.extract_feat(data['inputs'], data['data_samples']['num_frames'])
    for i, length in enumerate(LENGTHS):
        alone = data['inputs'][i:i + 1, :, :length]
        torch.testing.assert_close(together[i:i + 1], model.extract_feat(alone))


@pytest.mark.parametrize('method', SEQUENCES)
def test_loss_does_not_depend_on_the_amount_of_padding(method):
    losses = []
    for frames in (16, 24):
        torch.manual_seed(0)
        model, data = build(method, dropout=0.), batch(4, lengths=LENGTHS)
        data['inputs'] = torch.nn.functional.pad(data['inputs'], (0, 0, 0, 0, 0, frames - 16))
        losses.append(step(model, data)[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize('method', SEQUENCES)
@pytest.mark.parametrize('wrong', [0, 17])
def test_an_impossible_length_is_named(method, wrong):
    data = batch(4)
    data['data_samples']['num_frames'][2] = wrong
    with pytest.raises(UserError, match=rf'clip 2 of the batch has num_frames {wrong}, outside 1\.\.16'):
        step(build(method), data)


def test_wrong_views_are_refused():
    with pytest.raises(UserError, match='needs the views query, key; .* has strong'):
        MODELS.build(dict(type='SkeletonCLR', backbone=dict(type='STGCN', layout='ntu25', hidden_channels=4),
                          data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', views=dict(strong=[]))))


@every_method
def test_a_batch_of_another_skeleton_is_refused(method):
    with pytest.raises(UserError, match=r'V = 25'):
        step(build(method), batch(2, 'kinect20'))


@pytest.mark.parametrize('method, in_batch', [
    (name, in_batch) for name in METHODS if getattr(MODELS.get(name), 'contrast_loss', None)
    for in_batch in ([False, True] if name in QUEUED else [None])])
def test_the_contrast_of_equal_embeddings_is_log_k(method, in_batch):
    """The loss that a method names as its contrast, which the doctor compares with chance."""
    torch.manual_seed(0)
    model = build(method, **{} if in_batch is None else dict(in_batch=in_batch))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Projector):
                for weight in module.parameters():
                    weight.zero_()
        if in_batch is not None:
            model.queue.keys.zero_()
    losses = model(**model.data_preprocessor(batch(5), True), mode='loss')
    assert losses[model.contrast_loss].item() == pytest.approx(math.log(model.candidates(5)), abs=1e-5)
    assert loss_at_chance(losses[model.contrast_loss].item(), model.candidates(5), model.temperature)
