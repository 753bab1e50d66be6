"""Base classes of methods: a method without negatives, and states with the former name of the key encoder."""
import json
import re
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmskelssl.engine.checkpoint import build_from_checkpoint, load_part, load_whole
from mmskelssl.errors import UserError
from mmskelssl.models.base import ContrastiveModel, JointEmbeddingModel, MomentumContrast, MomentumModel, Progress
from mmskelssl.models.methods import BYOL
from mmskelssl.registry import MODELS

BACKBONE = dict(type='TemporalConvNet', layout='sbu15', channels=(8, 8))
HEAD = dict(hidden_channels=8, out_channels=6)


def test_the_documented_loss_is_the_code():
    folder = Path(__file__).resolve().parents[2]
    code = re.search(r'```python\n(.*?)```', (folder / 'docs/add_a_method.md').read_text(), re.DOTALL)[1]
    indented = textwrap.indent(textwrap.dedent(code), '    ')
    assert 'self.update_key()' in code and indented in (folder / 'mmskelssl/models/methods/byol.py').read_text()


def views(n=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, 3, 8, 15, 1, generator=generator, dtype=torch.float64) for name in BYOL.view_names}


def build(cls=BYOL, **options):
    torch.manual_seed(0)
    return cls(backbone=dict(BACKBONE), projector=HEAD, **options).double()


def test_the_bases_build_on_each_other():
    assert MomentumContrast.__mro__[:5] == (MomentumContrast, MomentumModel, ContrastiveModel, JointEmbeddingModel,
                                            *JointEmbeddingModel.__mro__[1:2])
    model = build()
    assert not hasattr(model, 'temperature') and not hasattr(model, 'queue')
    with pytest.raises(TypeError, match='temperature'):
        build(temperature=.1)


def test_a_step_without_negatives():
    """The loss follows its definition, only the online side has gradients, and the key encoder uses the momentum."""
    model = build(momentum=dict(momentum=.75))
    clips, optimizer = views(), torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .1)
    values = model.loss(clips, {})
    with torch.no_grad():  # before the first step both encoders are equal, except for BN statistics, unused in training
        made = [model.projector(model.pool(model.backbone(clips[name]))) for name in clips]
        q, k = [F.normalize(model.predictor(x), dim=1) for x in made], [F.normalize(x, dim=1) for x in made]
    expected = sum(2 - 2 * sum(float(a @ b) for a, b in zip(*pair, strict=True)) / 5 for pair in ((q[0], k[1]),
                                                                                                 (q[1], k[0])))
    assert float(values['loss'].detach()) == pytest.approx(expected, rel=1e-12)
    assert float(values['batch_top1']) >= 0
    values['loss'].backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None) == (not name.startswith('key_encoder.')), name
    before = {name: p.clone() for name, p in model.key_encoder.backbone.named_parameters()}
    optimizer.step()
    model.set_progress(Progress(0, 1, 10))
    model.loss(clips, {})
    for name, p in model.key_encoder.backbone.named_parameters():
        online = model.backbone.get_parameter(name)
        torch.testing.assert_close(p, .75 * before[name] + .25 * online)
    assert not torch.equal(before['layers.1.weight'], model.backbone.get_parameter('layers.1.weight'))


def test_it_learns():
    model = build(momentum=dict(momentum=.9))
    optimizer, losses = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2), []
    for i in range(60):
        model.set_progress(Progress(0, i, 60))
        loss = model.loss(views(8), {})['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < .5 * losses[0]


def with_old_names(state) -> dict:
    return {name.replace('key_encoder.', 'key.', 1): value for name, value in state.items()}


@pytest.fixture
def trained():
    model = build()
    model.loss(views(), {})
    nn.init.normal_(model.key_encoder.projector.mlp[0].weight)
    return model


def same_state(a, b) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_states_of_old_names_load(trained, prefix):
    """Loading with torch and with mmengine's own loader."""
    from mmengine.runner.checkpoint import load_state_dict
    old = {prefix + name: value for name, value in with_old_names(trained.state_dict()).items()}
    assert f'{prefix}key.updates' in old and trained.rename_state(with_old_names(trained.state_dict())).keys() == \
        trained.state_dict().keys()
    for load in (lambda module: module.load_state_dict(old), lambda module: load_state_dict(module, old, strict=True)):
        fresh = build()
        load(nn.ModuleDict(dict(module=fresh)) if prefix else fresh)
        assert same_state(fresh, trained)
        fresh.key_encoder.start()
        assert same_state(fresh, trained)  # it continues with the stored copy
    assert f'{prefix}key.updates' in old  # the caller's dict does not change


def test_checkpoints_of_old_names_load_whole_and_in_part(trained, tmp_path):
    torch.save(dict(state_dict=with_old_names(trained.state_dict())), tmp_path / 'old.pth')
    fresh = build()
    load_whole(fresh, torch.load(tmp_path / 'old.pth'), 'old.pth', '')
    assert same_state(fresh, trained)
    fresh = build()
    load_part(fresh, tmp_path / 'old.pth', 'key_encoder.')
    assert same_state(fresh.key_encoder, trained.key_encoder)


def test_a_checkpoint_with_old_names_and_options_is_rebuilt_as_it_was(tmp_path):
    """AimCLR's ``mined`` was called ``topk`` before."""
    described = dict(type='AimCLR', backbone=dict(BACKBONE), projector=HEAD, queue_size=16, drop_keep=None,
                     data_preprocessor=dict(type='SkeletonPreprocessor', layout='sbu15',
                                            views=dict(extreme=[], query=[], key=[])))
    model = MODELS.build(dict(described, mined=3))
    nn.init.normal_(model.key_encoder.projector.mlp[0].weight)
    data = dict(store='s', layout='sbu15', pipeline=[dict(type='PackSkeleton')])
    info = dict(model=json.dumps(dict(described, topk=3)), dataset=json.dumps(data), seed=0)
    torch.save(dict(meta=dict(mmskelssl=info), state_dict=with_old_names(model.state_dict())), tmp_path / 'old.pth')
    made, info = build_from_checkpoint(tmp_path / 'old.pth')
    assert made.mined == 3 and info['not_loaded'] == [] and same_state(made, model)
    with pytest.raises(UserError, match='topk is called mined'):
        MODELS.build(dict(described, topk=3))
