"""Fast selection and nearest neighbours make the same choice as a full ``topk``."""
import pytest
import torch

from mmskelssl.ops.neighbours import nearest, plain_nearest
from mmskelssl.ops.selection import largest, plain_largest


@pytest.mark.parametrize('k', [1, 7, 40])
@pytest.mark.parametrize('ties', [False, True])
def test_largest(k, ties):
    x = torch.randn(5, 40, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    if ties:
        x = x.round()
    ours, plain = largest(x, k), plain_largest(x, k)
    assert ours.shape == plain.shape == (5, k) and all(len(set(row)) == k for row in ours.tolist())
    assert torch.equal(x.gather(1, ours).sort(1).values, x.gather(1, plain).sort(1).values)
    if not ties:
        assert torch.equal(ours, plain.sort(1).values)


def test_infinite_values_are_ordered_too():
    x = torch.tensor([[0., torch.inf, -torch.inf, 2.], [-torch.inf] * 4])
    ours = largest(x, 2)
    assert sorted(ours[0].tolist()) == [1, 3] and len(set(ours[1].tolist())) == 2


@pytest.mark.parametrize('columns, k', [(200, 1), (331, 2), (4096, 32), (4097, 33), (31, 5)])
def test_nearest(columns, k):
    """Columns that divide evenly into groups or not, and few enough for a full selection or not."""
    similarity = torch.randn(7, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    similarity[:, -1] = 9.  # the very last column counts too
    for ours, plain in zip(nearest(similarity, k), plain_nearest(similarity, k), strict=True):
        assert torch.equal(ours, plain)


def test_nearest_among_ties_takes_the_largest_values():
    similarity = torch.randn(7, 640, generator=torch.Generator().manual_seed(0)).round()
    values, columns = nearest(similarity, 5)
    assert torch.equal(values, plain_nearest(similarity, 5)[0]) and torch.equal(similarity.gather(1, columns), values)
    assert all(len(set(row)) == 5 for row in columns.tolist())
