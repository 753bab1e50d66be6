"""Barlow Twins (Zbontar et al., ICML 2021) on skeletons: redundancy reduction."""
from torch import Tensor

from mmskelssl.models.base import JointEmbeddingModel
from mmskelssl.models.checks import check_number
from mmskelssl.models.losses import redundancy
from mmskelssl.registry import MODELS


@MODELS.register_module()
class BarlowTwins(JointEmbeddingModel):
    """Make the embeddings of two views agree in each dimension and different dimensions uncorrelated.

    Args:
        off_diagonal: Weight of the redundancy term. The paper uses 0.0051.
        **kwargs: Arguments of :class:`JointEmbeddingModel`. The paper's projector has three layers with batch norm
            and a wide output.
    """
    view_names = ('first', 'second')

    def __init__(self, *args, off_diagonal: float = 0.0051, **kwargs):
        super().__init__(*args, **kwargs)
        check_number('BarlowTwins: off_diagonal', off_diagonal, 0)
        self.off_diagonal = off_diagonal

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.project(self.backbone(views[name])) for name in self.view_names)
        return dict(loss=redundancy(first, second, self.off_diagonal), **self.monitors(first, second))
