"""SkeletonCLR (Li et al., CVPR 2021, section 3.1): momentum contrast on one stream."""
from torch import Tensor

from mmskelssl.models.base import MomentumContrast
from mmskelssl.models.losses import contrast_logits, info_nce
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SkeletonCLR(MomentumContrast):
    """Attract two views of a clip and repel the keys in the queue.

    Takes the arguments of :class:`MomentumContrast`.
    """
    view_names = ('query', 'key')
    contrast_loss = 'loss'

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.update_key()
        q = self.embed(self.backbone(views['query']))
        k = self.encode_key(views['key'])
        logits = contrast_logits(q, k, self.queue.negatives(), self.temperature, self.in_batch)
        self.queue.enqueue(k)
        return dict(loss=info_nce(logits), **self.monitors(q, k))
