"""Barlow Twins (Zbontar et al., ICML 2021) on skeletons: a method without negatives, momentum encoder or queue."""
from torch import Tensor

from mmskelssl.models.base import JointEmbeddingModel
from mmskelssl.models.checks import check_number
from mmskelssl.ops.precision import full_precision
from mmskelssl.registry import MODELS


@full_precision
def redundancy(first: Tensor, second: Tensor, off_diagonal: float) -> Tensor:
    """Distance of the cross-correlation matrix of two views' embeddings to the identity (section 2.1, equation 1).

    Args:
        first, second: (N, D), not normalised. Each dimension is standardised over the batch.
        off_diagonal: lambda, the weight of the D * (D - 1) products whose target is zero.
    """
    first, second = ((x - x.mean(0)) * (x.var(0, correction=0) + 1e-5).rsqrt() for x in (first, second))
    correlation = first.t() @ second / len(first)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal * (correlation.square().sum() - diagonal.square().sum())


@MODELS.register_module()
class BarlowTwins(JointEmbeddingModel):
    """The embeddings of two views agree in each dimension, and different dimensions are uncorrelated.

    Args:
        off_diagonal: Weight of the redundancy term (published: 0.0051).
        **kwargs: Arguments of :class:`JointEmbeddingModel`.
    """
    view_names = ('first', 'second')

    def __init__(self, *args, off_diagonal: float = 0.0051, **kwargs):
        super().__init__(*args, **kwargs)
        check_number('BarlowTwins: off_diagonal', off_diagonal, 0)
        self.off_diagonal = off_diagonal

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.project(self.backbone(views[name])) for name in self.view_names)
        return dict(loss=redundancy(first, second, self.off_diagonal), **self.monitors(first, second))
