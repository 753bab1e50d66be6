"""VICReg (Bardes et al., ICLR 2022) on skeletons: variance, invariance and covariance."""
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.models.base import JointEmbeddingModel
from mmskelssl.models.checks import check_number
from mmskelssl.models.losses import covariance_penalty, variance_hinge
from mmskelssl.registry import MODELS


@MODELS.register_module()
class VICReg(JointEmbeddingModel):
    """Make two views of a clip agree while all dimensions of the embedding keep their variance and stay uncorrelated.

    Args:
        invariance, variance, covariance: Weights of the three terms. The paper uses 25, 25 and 1.
        **kwargs: Arguments of :class:`JointEmbeddingModel`. The paper's projector has three layers with batch norm
            and a wide output.
    """
    view_names = ('first', 'second')

    def __init__(self, *args, invariance: float = 25., variance: float = 25., covariance: float = 1., **kwargs):
        super().__init__(*args, **kwargs)
        for name, value in (('invariance', invariance), ('variance', variance), ('covariance', covariance)):
            check_number(f'VICReg: {name}', value, 0)
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.project(self.backbone(views[name])) for name in self.view_names)
        return dict(
            loss_invariance=self.invariance * F.mse_loss(first, second),
            loss_variance=self.variance * (variance_hinge(first) + variance_hinge(second)) / 2,
            loss_covariance=self.covariance * (covariance_penalty(first) + covariance_penalty(second)),
            **self.monitors(first, second))
