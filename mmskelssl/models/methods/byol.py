"""BYOL (Grill et al., NeurIPS 2020) on skeletons: a momentum encoder and no negatives."""
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.models.base import MomentumModel
from mmskelssl.models.checks import check_integer
from mmskelssl.models.losses import regression
from mmskelssl.models.modules.heads import Projector
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


@MODELS.register_module()
class BYOL(MomentumModel):
    """Predict the key encoder's embedding of one view from the online encoder's embedding of the other.

    Args:
        predictor_channels: Hidden width of the predictor.
        **kwargs: Arguments of :class:`MomentumModel`. In the paper the momentum rises from 0.996 to 1.
    """
    view_names = ('first', 'second')

    def __init__(self, *args, predictor_channels: int = 256, **kwargs):
        super().__init__(*args, **kwargs)
        check_integer('BYOL: predictor_channels', predictor_channels)
        self.predictor = Projector(self.embedding_channels, predictor_channels, self.embedding_channels, norm=True)

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.update_key()
        loss = views['first'].new_zeros(())
        for name, other in (('first', 'second'), ('second', 'first')):
            q = F.normalize(widen(self.predictor(self.project(self.backbone(views[name])))), dim=1)
            k = self.encode_key(views[other])
            loss = loss + regression(q, k)
        return dict(loss=loss, **self.monitors(q, k))
