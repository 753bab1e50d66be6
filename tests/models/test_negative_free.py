"""Losses without negatives, each compared with a statement of its definition in loops, in float64."""
import math

import numpy as np
import pytest
import torch

from mmskelssl.models import losses
from mmskelssl.models.methods.decorrelation import agreement
from mmskelssl.registry import MODELS


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mean(values):
    values = [float(v) for v in values]
    return sum(values) / len(values)


def test_redundancy():
    first, second = random(2, 7, 4)
    expected = 0.
    for i in range(4):
        for j in range(4):
            corr = np.corrcoef(first[:, i], second[:, j])[0, 1]
            expected += (1 - corr) ** 2 if i == j else .1 * corr ** 2
    assert float(losses.redundancy(first, second, .1)) == pytest.approx(expected, rel=1e-3)  # 1e-5 in the variance
    assert losses.redundancy(first[:1], second[:1], .1).isfinite()


def hinge(z):
    return mean(max(0, 1 - math.sqrt(np.var(column.numpy(), ddof=1) + 1e-4)) for column in z.t())


def covariances(z):
    matrix = np.cov(z.numpy().T)
    return sum(matrix[i, j] ** 2 for i in range(len(matrix)) for j in range(len(matrix)) if i != j) / len(matrix)


def test_variance_and_covariance():
    z = random(6, 4) * torch.tensor([.1, .5, 1., 3.])
    assert float(losses.variance_hinge(z)) == pytest.approx(hinge(z), rel=1e-12)
    assert float(losses.covariance_penalty(z)) == pytest.approx(covariances(z), rel=1e-12)
    assert float(losses.variance_hinge(z[:1])) == pytest.approx(.99) and float(losses.covariance_penalty(z[:1])) == 0


def test_regression():
    q, k = (x / x.norm(dim=1, keepdim=True) for x in random(2, 5, 3))
    expected = mean(2 - 2 * sum(float(a) * float(b) for a, b in zip(*pair, strict=True))
                    for pair in zip(q, k, strict=True))
    assert float(losses.regression(q, k)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('count', [2, 4])
def test_agreement_of_views(count):
    zs = [*random(count, 5, 3)]
    *others, last = zs
    middle = [[mean(z[n, d] for z in others) for d in range(3)] for n in range(5)]
    expected = mean(mean((z[n, d] - last[n, d]) ** 2 for n in range(5) for d in range(3))
                    + mean((z[n, d] - middle[n][d]) ** 2 for n in range(5) for d in range(3)) for z in others)
    assert float(agreement(zs)) == pytest.approx(expected, rel=1e-12)


def build(name, views, backbone, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(
        type=name, backbone=dict(layout='sbu15', **backbone),
        projector=dict(hidden_channels=8, out_channels=5, **options.pop('head', {})),
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='sbu15', views={view: [] for view in views}),
        **options)).double()


STGCN = dict(type='STGCN', hidden_channels=4, out_channels=8, dropout=0.)
CONV = dict(type='TemporalConvNet', channels=(4, 4, 8, 8))


def test_vicreg():
    model = build('VICReg', ('first', 'second'), CONV, invariance=3., variance=2., covariance=.5)
    first, second = random(6, 3, 8, 15, 1), random(6, 3, 8, 15, 1, seed=1)
    made = model.loss(dict(first=first, second=second), {})
    with torch.no_grad():
        a, b = (model.projector(model.backbone(x).mean((1, 3, 4))) for x in (first, second))
    assert float(made['loss_invariance']) == pytest.approx(3 * mean((a - b).square().flatten()), rel=1e-9)
    assert float(made['loss_variance']) == pytest.approx(2 * (hinge(a) + hinge(b)) / 2, rel=1e-9)
    assert float(made['loss_covariance']) == pytest.approx(.5 * (covariances(a) + covariances(b)), rel=1e-9)


def test_decorrelation_at_three_levels():
    names = ('first', 'second', 'third')
    model = build('FeatureDecorrelation', names, STGCN, similarity=3., variance=2., level_weight=.25)
    views = {name: random(6, 3, 8, 15, 1, seed=i) for i, name in enumerate(names)}
    made = model.loss(views, {})
    with torch.no_grad():
        maps = [model.backbone(view)[:, 0] for view in views.values()]
        levels = dict(clip=[m.mean((2, 3)) for m in maps], time=[m.mean(3).max(2)[0] for m in maps],
                      joint=[m.mean(2).max(2)[0] for m in maps])
        for level, features in levels.items():
            weight, zs = 1. if level == 'clip' else .25, [model.projectors[level](f) for f in features]
            assert float(made[f'loss_{level}_similarity']) == pytest.approx(weight * 3 * float(agreement(zs)), rel=1e-6)
            spread = mean(2 * hinge(z) + covariances(z) for z in zs)
            assert float(made[f'loss_{level}_spread']) == pytest.approx(weight * spread, rel=1e-6)


def test_an_encoder_without_joints_has_two_levels():
    model = build('FeatureDecorrelation', ('first', 'second'), CONV)
    made = model.loss(dict(first=random(4, 3, 8, 15, 1), second=random(4, 3, 8, 15, 1, seed=1)), {})
    assert {name.split('_')[1] for name in made if name.startswith('loss')} == {'clip', 'time'}


def test_projector_of_three_layers():
    kinds = [type(layer).__name__ for layer in build('VICReg', ('first', 'second'), CONV,
                                                     head=dict(norm=True, layers=3)).projector.mlp]
    assert kinds == ['Linear', 'BatchNorm1d', 'ReLU'] * 2 + ['Linear']
