"""Collapse monitors, compared with loops and known cases."""
import math

import pytest
import torch

from mmskelssl.models.monitors import effective_rank, feature_std, in_batch_top1, mean_cosine


def test_mean_cosine_equals_loop():
    feats = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) + 1
    pairs = [torch.cosine_similarity(feats[i], feats[j], dim=0).item() for i in range(7) for j in range(7) if i != j]
    assert mean_cosine(feats).item() == pytest.approx(sum(pairs) / 42, abs=1e-6)
    assert math.isnan(mean_cosine(feats[:1]))


def test_collapsed_and_spread():
    feats = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    assert feature_std(feats).item() == pytest.approx(1, abs=0.02)
    assert mean_cosine(feats).item() == pytest.approx(0, abs=0.01)
    same = feats[:1].repeat(50, 1) * torch.arange(1, 51)[:, None]  # length does not matter
    assert feature_std(same).item() == pytest.approx(0, abs=1e-5)
    assert mean_cosine(same).item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(feature_std(torch.zeros(3, 4)))


def test_in_batch_top1():
    keys = torch.eye(4)
    assert in_batch_top1(3 * keys, keys) == 100
    assert in_batch_top1(keys[[1, 0, 2, 3]], keys) == 50
    collapsed = torch.ones(4, 4)
    assert in_batch_top1(collapsed, collapsed) == 25


def test_no_gradient():
    feats = torch.randn(4, 3, requires_grad=True)
    for value in (mean_cosine(feats), feature_std(feats), in_batch_top1(feats, feats)):
        assert not value.requires_grad and value.dim() == 0


def test_effective_rank():
    """exp of the entropy of the singular values: the number of equally used directions."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.eye(16)
    assert float(effective_rank(basis.repeat(5, 1))) == pytest.approx(16, abs=1e-3)
    assert float(effective_rank(basis[:4].repeat(5, 1))) == pytest.approx(4, abs=1e-3)
    assert float(effective_rank(torch.ones(40, 16))) == pytest.approx(1, abs=1e-3)
    features = torch.randn(30, 8, generator=generator)
    shares = torch.linalg.svdvals(torch.nn.functional.normalize(features, dim=1).double())
    shares = shares / shares.sum()
    expected = math.exp(-sum(float(p) * math.log(float(p)) for p in shares))
    for given in (features, torch.cat([features, torch.zeros(30, 40)], 1)):  # more rows than columns, and fewer
        assert float(effective_rank(given)) == pytest.approx(expected, rel=1e-4)
