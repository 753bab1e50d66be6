"""SkeAttnCLR's neck and adjacency against the official code's outputs, in float64 (docs/methods.md 2.2)."""
import numpy as np
import pytest
import torch

from mmskelssl.layouts import get_layout
from mmskelssl.models.backbones.adjacency import build_adjacency
from mmskelssl.models.base import SelfSupervisedModel
from mmskelssl.models.methods.skeattnclr import SkeAttnCLR
from mmskelssl.registry import MODELS

# ours -> official
NAMES = {'norm': 'norm0', 'qkv': 'Attn.qkv', 'out': 'Attn.proj'}


@pytest.fixture(scope='module')
def arrays(reference):
    with np.load(reference / 'skeattn_neck_reference.npz') as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope='module')
def model(arrays):
    model = MODELS.build(dict(
        type='SkeAttnCLR', backbone=dict(type='STGCN', layout='ntu25', hidden_channels=4, adjacency='agcn'),
        projector=dict(hidden_channels=256, out_channels=128, norm=True), queue_size=4,
        attention=dict(heads=8, sharpness=2.0)))
    attention = {f'{ours}.{kind}': arrays[f'sd/{theirs}.{kind}']
                 for ours, theirs in NAMES.items() for kind in ('weight', 'bias')}
    model.attention.load_state_dict(attention)
    projector = {name.removeprefix('sd/proj.'): value for name, value in arrays.items() if name.startswith('sd/proj.')}
    model.projector.load_state_dict({name: value.squeeze(2) if value.dim() == 3 else value
                                     for name, value in projector.items()})
    return model.double().eval()


def feature_map(arrays):
    # The official code views the memory of (N * M, D, T', V) as (N, D, T', V, M), and back (docs/methods.md 2.6).
    n, d, t, v, m = arrays['f'].shape
    return arrays['f'].double().view(n, m, d, t, v)


def close(ours, theirs):
    """Compare relative to the largest value. The stored outputs are float32, so the tolerance is not smaller."""
    error = (ours - theirs.double()).abs().max() / theirs.abs().max()
    assert error < 3e-6, error


def test_mask(model, arrays):
    with torch.no_grad():
        mask = model.attention(feature_map(arrays))
    close(mask.permute(0, 1, 3, 4, 2).reshape(4, 400, 256), arrays['mask'])
    assert arrays['mask'].std() > 1e-3  # a constant mask would not test anything


def test_embeddings(model, arrays):
    features = feature_map(arrays)
    with torch.no_grad():
        salient, rest = model.split(features, model.attention(features))
        torch.testing.assert_close(salient + rest, model.pool(features), rtol=1e-12, atol=1e-12)
        for pooled, name in ((model.pool(features), 'zx'), (salient, 'zp'), (rest, 'zc')):
            close(model.projector(pooled), arrays[name].squeeze(2))


def test_adjacency(arrays):
    ours = build_adjacency('agcn', get_layout('ntu25'))
    np.testing.assert_array_equal(ours, arrays['A_skeattn'].numpy())


def test_parameter_counts():
    """docs/methods.md 2.2; the official encoder also counts an unused head (98,816) and a classifier (15,420)."""
    model = SkeAttnCLR(dict(type='STGCN', layout='ntu25', hidden_channels=64, adjacency='agcn'), queue_size=2,
                       projector=dict(hidden_channels=256, out_channels=128, norm=True))
    assert isinstance(model, SelfSupervisedModel)
    counts = {name: sum(p.numel() for p in getattr(model, name).parameters())
              for name in ('backbone', 'projector', 'attention', 'predictors')}
    assert counts == dict(backbone=3_083_412, projector=98_816, attention=263_168 + 512, predictors=3 * 66_048)
    assert counts['backbone'] + counts['projector'] + counts['attention'] + 98_816 + 15_420 == 3_560_144
