"""The backbone contract: shipped backbones, a third-party module, and errors when the model is built."""
import pytest
import torch
from torch import nn

from mmskelssl.errors import UserError
from mmskelssl.models.backbones import STGCN, BiGRU, SkeletonBackbone, TemporalConvNet
from mmskelssl.models.classifier import SkeletonClassifier
from mmskelssl.registry import MODELS


class Stranger(nn.Module):
    """A module that does not derive from our classes and has no optional attributes."""

    def __init__(self, layout, in_channels=3):
        super().__init__()
        self.out_channels = 4
        self.conv = nn.Conv2d(in_channels, 4, 1)

    def forward(self, x, num_frames=None):
        n, c, t, v, m = x.shape
        return self.conv(x.permute(0, 4, 1, 2, 3).flatten(0, 1)).view(n, m, 4, t, v)


@pytest.fixture
def register():
    names = []

    def add(cls):
        MODELS.register_module(cls.__name__, module=cls)
        names.append(cls.__name__)
    yield add
    for name in names:
        del MODELS._module_dict[name]


def method(backbone, name='SkeletonCLR', **options):
    views = {view: [] for view in MODELS.get(name).view_names}
    preprocessor = dict(type='SkeletonPreprocessor', layout='sbu15', views=views)
    return MODELS.build(dict(type=name, backbone=backbone, queue_size=8, projector=dict(out_channels=6),
                             data_preprocessor=preprocessor, **options))


@pytest.mark.parametrize('name', ['SkeletonCLR', 'AimCLR', 'SkeAttnCLR'])
def test_a_stranger_that_keeps_the_contract_is_an_encoder(name, register):
    register(Stranger)
    torch.manual_seed(0)
    options = dict(attention=dict(heads=2)) if name == 'SkeAttnCLR' else {}
    model = method(dict(type='Stranger', layout='sbu15', in_channels=3), name, **options)
    clips = dict(inputs=torch.randn(4, 3, 8, 15, 2), data_samples=dict(num_frames=torch.full((4,), 8)))
    losses = model(**model.data_preprocessor(clips, True), mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert model.backbone.conv.weight.grad.abs().sum() > 0
    assert (model.backbone.maps_joints, model.backbone.variable_length) == (True, False)  # the defaults
    assert model.extract_feat(clips['inputs']).shape == (4, 4)


def test_actclr_says_which_map_it_mixes():
    model = method(Stranger('sbu15'), 'ActCLR')
    clips = dict(inputs=torch.randn(4, 3, 8, 15, 2), data_samples={})
    with pytest.raises(UserError, match='mixes on cells of 4 frames .* the map of Stranger has 8 frames instead of 2'):
        model(**model.data_preprocessor(clips, True), mode='loss')


def test_a_stranger_without_joints_is_refused_where_joints_are_needed():
    backbone = Stranger('sbu15')
    backbone.maps_joints = False
    with pytest.raises(UserError, match='needs a feature map over joints, which Stranger does not return'):
        method(backbone, 'AimCLR')
    with pytest.raises(UserError, match='needs a sequence encoder .*Stranger does not qualify'):
        method(backbone, 'CRRLMotion')


@pytest.mark.parametrize('cls, maps_joints, variable_length', [
    (STGCN, True, False), (BiGRU, False, True), (TemporalConvNet, False, False)])
def test_the_shipped_encoders_declare_what_they_are(cls, maps_joints, variable_length):
    backbone = cls('sbu15', in_channels=2)
    assert isinstance(backbone, SkeletonBackbone) and backbone.in_channels == 2
    assert (backbone.maps_joints, backbone.variable_length) == (maps_joints, variable_length)
    x = torch.randn(2, 2, 8, 15, 1)
    out = backbone(x, torch.tensor([8, 5]))
    assert out.dim() == 5 and out.shape[2] == backbone.out_channels
    assert (out.shape[4] == 15) == maps_joints and (out.shape[3] == 8) >= variable_length


class NoChannels(Stranger):
    def __init__(self, layout, in_channels=3):
        super().__init__(layout, in_channels)
        del self.out_channels


class OneArgument(Stranger):
    def forward(self, x):
        return x


class Undecided(Stranger):
    variable_length = 'yes'


class NoLayout(Stranger):
    def __init__(self, width=4):
        super().__init__(None)


@pytest.mark.parametrize('cls, message', [
    (NoChannels, 'backbone NoChannels: out_channels is None; set it to the length of a pooled feature'),
    (OneArgument, r'backbone OneArgument: forward must take the clips and num_frames, as in forward'),
    (Undecided, "backbone Undecided: variable_length is 'yes'; set it to True or False"),
    (NoLayout, 'backbone NoLayout: __init__ does not take layout and in_channels, filled in from the store: add')])
def test_what_is_not_a_backbone_is_refused_when_it_is_built(cls, message, register):
    register(cls)
    with pytest.raises(UserError, match=message):
        SkeletonClassifier(dict(type=cls.__name__, layout='sbu15', in_channels=3), 2)


def test_a_map_of_another_shape_is_refused():
    class Pooled(Stranger):
        def forward(self, x, num_frames=None):
            return super().forward(x).mean((3, 4))
    with pytest.raises(UserError, match=r'Pooled returns a map of shape \(2, 1, 4\); it must be .*out_channels = 4'):
        SkeletonClassifier(Pooled('sbu15'), 2).extract_feat(torch.randn(2, 3, 8, 15, 1))


@pytest.mark.parametrize('persons', [1, 2, 'each'])
def test_joints_kept_apart(persons):
    """With separate_joints, the channels of a joint are those of a small network that sees only this joint."""
    torch.manual_seed(0)
    net = TemporalConvNet('sbu15', num_persons=persons, channels=(4, 6), separate_joints=True).double()
    assert net.out_channels == 6 * 15 * (2 if persons == 2 else 1)
    x = torch.randn(3, 3, 8, 15, 1 if persons == 1 else 2, dtype=torch.float64)
    made = net(x)
    assert made.shape == (3, 2 if persons == 'each' else 1, net.out_channels, 4, 1)
    changed = x.clone()
    changed[:, :, :, 7, -1] += torch.randn(3, 3, 8, dtype=torch.float64)
    moved = (net(changed) - made).abs().amax((0, 3, 4)).unflatten(1, (-1, 15, 6)).amax(3) > 1e-9  # (M', M or 1, V)
    if persons == 'each':  # the norm of the batch is that of all persons
        assert moved[:, 0, 7].all()
    else:
        assert moved[0, -1, 7] and moved.sum() == 1
    moved[..., 7] = False
    assert not moved.any()


def test_joints_apart_is_a_switch():
    with pytest.raises(UserError, match='backbone.separate_joints'):
        TemporalConvNet('sbu15', separate_joints=15)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('reads', [True, False])
def test_persons_one_by_one(masked, reads, monkeypatch):
    """With ``each``, the map of a person is that of the person's own clip, and absent persons change nothing."""
    monkeypatch.setattr('mmskelssl.ops.absent.reads_values', lambda _: reads)
    torch.manual_seed(0)
    options = dict(channels=(4, 6), masked=masked)
    net = TemporalConvNet('sbu15', num_persons='each', **options).double()
    alone = TemporalConvNet('sbu15', **options).double()
    alone.load_state_dict(net.state_dict())
    x = torch.randn(4, 3, 8, 15, 3, dtype=torch.float64)
    x[:, :, :, 7] = 0
    x[1, ..., 1] = x[3, ..., 1:] = 0
    there = (x != 0).flatten(1, 3).any(1)
    persons = x.permute(0, 4, 1, 2, 3)[there].unsqueeze(4)
    for train in (True, False):  # the second time with the running statistics of the first
        net.train(train), alone.train(train)
        features, expected = net(x), alone(persons)
        assert features.shape == (4, 3, 6, 4, 1)
        torch.testing.assert_close(features[there], expected[:, 0], rtol=1e-9, atol=1e-9)
        assert not features[~there].any()
    assert not net(0 * x).any()
    torch.testing.assert_close(net(x[..., :1]), net(x)[:, :1])  # any number of persons


def test_persons_one_by_one_are_asked_for():
    with pytest.raises(UserError, match="num_persons is 'all'; it must be a number or 'each'"):
        TemporalConvNet('sbu15', num_persons='all')
    with pytest.raises(UserError, match='the clips have 2 persons'):
        TemporalConvNet('sbu15')(torch.randn(1, 3, 4, 15, 2))
    with pytest.raises(UserError, match=r'14 joints of 3 channels.* built for 1 of 15'):
        TemporalConvNet('sbu15', num_persons='each')(torch.randn(1, 3, 4, 14, 2))
