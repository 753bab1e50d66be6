"""SimCLR (Chen et al., ICML 2020) on skeletons: the reference point of every table."""
from torch import Tensor

from mmskelssl.models.base import ContrastiveModel
from mmskelssl.models.losses import nt_xent
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SimCLR(ContrastiveModel):
    """Two views of a clip attract, all other clips of the batch repel. Arguments: :class:`ContrastiveModel`.

    No queue, no key encoder: what a method with more parts has to beat. Each process contrasts its own batch.
    """
    view_names = ('first', 'second')

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.embed(self.backbone(views[name])) for name in self.view_names)
        return dict(loss=nt_xent(first, second, self.temperature), **self.monitors(first, second))
