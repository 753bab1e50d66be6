"""SimCLR (Chen et al., ICML 2020) on skeletons, the baseline of every table."""
from torch import Tensor

from mmskelssl.models.base import ContrastiveModel
from mmskelssl.models.losses import nt_xent
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SimCLR(ContrastiveModel):
    """Attract two views of a clip and repel all other clips of the batch.

    SimCLR has no queue and no key encoder. A method with more parts has to outperform it. The other clips are those of
    the batches of all processes. Takes the arguments of :class:`ContrastiveModel`.
    """
    view_names = ('first', 'second')
    contrast_loss = 'loss'

    def candidates(self, batch_size: int) -> int:
        return 2 * batch_size - 1

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second = (self.embed(self.backbone(views[name])) for name in self.view_names)
        return dict(loss=nt_xent(first, second, self.temperature), **self.monitors(first, second))
