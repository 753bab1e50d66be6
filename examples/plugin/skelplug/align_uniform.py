"""Alignment and uniformity (Wang and Isola, ICML 2020) on skeletons: a method without negatives of its own."""
import torch
from torch import Tensor

from mmskelssl.models.base import JointEmbeddingModel
from mmskelssl.models.checks import check_number
from mmskelssl.ops.precision import full_precision
from mmskelssl.registry import MODELS


@full_precision
def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance between the embeddings (N, D), L2-normalised, of two views of a clip (section 4.1)."""
    return (first - second).square().sum(1).mean()


@full_precision
def uniformity(z: Tensor, t: float = 2.) -> Tensor:
    """Logarithm of the mean Gaussian potential between different embeddings (N, D), L2-normalised (section 4.1)."""
    if len(z) < 2:
        return z.sum() * 0
    return torch.pdist(z).square().mul(-t).exp().mean().log()


@MODELS.register_module()
class AlignUniform(JointEmbeddingModel):
    """The embeddings of two views are close to each other, and those of all clips cover the sphere evenly.

    Args:
        uniform_weight: Weight of the uniformity term (published: 1).
        **kwargs: Of :class:`JointEmbeddingModel`.
    """
    view_names = ('first', 'second')

    def __init__(self, *args, uniform_weight: float = 1., **kwargs):
        super().__init__(*args, **kwargs)
        check_number('AlignUniform: uniform_weight', uniform_weight, 0)
        self.uniform_weight = uniform_weight

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.embed(self.backbone(views[name])) for name in self.view_names)
        return dict(
            loss_alignment=alignment(first, second),
            loss_uniformity=self.uniform_weight * (uniformity(first) + uniformity(second)) / 2,
            **self.monitors(first, second))
