"""An encoder with a linear layer on top: what fine-tuning trains."""
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SkeletonClassifier(SkeletonEncoder):
    """Classes from pooled features; every backbone, and clips of any length where the backbone takes them.

    Args:
        num_classes: Width of the result.
        head_std: Start the layer's weights at N(0, head_std) and its bias at 0; default as ``torch.nn.Linear`` does.
        **kwargs: Of :class:`~mmskelssl.models.base.SkeletonEncoder`. The preprocessor has no views.
    """
    variable_length = True

    def __init__(self, backbone: dict | nn.Module, num_classes: int, head_std: float | None = None, **kwargs):
        super().__init__(backbone, **kwargs)
        if getattr(self.data_preprocessor, 'views', None):
            raise UserError('SkeletonClassifier learns from the clips as they are: leave data_preprocessor.views out')
        self.head = nn.Linear(self.feat_channels, num_classes)
        if head_std is not None:
            nn.init.normal_(self.head.weight, 0., head_std)
            nn.init.zeros_(self.head.bias)

    def loss(self, inputs: Tensor, data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of clips (N, C, T, V, M) with ``data_samples['label']`` (N,)."""
        if 'label' not in data_samples:
            raise UserError('SkeletonClassifier: some training clips have no label; give the store labels')
        logits = self.head(self.extract_feat(inputs, data_samples.get('num_frames')))
        return dict(loss=F.cross_entropy(logits.float(), data_samples['label']))

    def forward(self, inputs: Tensor, data_samples: dict | None = None, mode: str = 'tensor'):
        """``loss``: dict of scalars; ``predict``: logits (N, classes); ``tensor``: features (N, D)."""
        data_samples = data_samples or {}
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        features = self.extract_feat(inputs, data_samples.get('num_frames'))
        return self.head(features) if mode == 'predict' else features
