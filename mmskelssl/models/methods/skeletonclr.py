"""SkeletonCLR (Li et al., CVPR 2021, section 3.1): momentum contrast on one stream."""
from torch import Tensor

from mmskelssl.models.base import MomentumContrast
from mmskelssl.models.losses import contrast_logits, info_nce
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SkeletonCLR(MomentumContrast):
    """Two views of a clip attract, the keys in the queue repel. Arguments: :class:`MomentumContrast`."""
    view_names = ('query', 'key')

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.key.update(self.progress.fraction)
        query = self.embed(self.backbone(views['query']))
        key = self.encode_key(views['key'])
        logits = contrast_logits(query, key, self.queue.negatives(), self.temperature, self.in_batch)
        self.queue.enqueue(key)
        return dict(loss=info_nce(logits), **self.monitors(query, key))
