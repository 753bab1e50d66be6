"""An encoder alone, and with a linear classification layer."""
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.models.checks import check_integer, check_number
from mmskelssl.registry import MODELS


@MODELS.register_module()
class FrozenEncoder(SkeletonEncoder):
    """A backbone with its preprocessor and pooling, without the parts that only pre-training needs.

    Saved models consist of it. Arguments are those of :class:`~mmskelssl.models.base.SkeletonEncoder`.
    """
    variable_length = True

    def forward(self, inputs: Tensor, data_samples: dict | None = None, mode: str = 'tensor') -> Tensor:
        """Return the features (N, D) of prepared clips (N, C, T, V, M)."""
        if mode == 'loss':
            raise UserError('FrozenEncoder is not trained: choose a method, or SkeletonClassifier')
        return self.extract_feat(inputs, (data_samples or {}).get('num_frames'))


@MODELS.register_module()
class SkeletonClassifier(SkeletonEncoder):
    """Classify clips from pooled features. Works with every backbone, and with variable lengths if the backbone does.

    Args:
        backbone: As in :class:`~mmskelssl.models.base.SkeletonEncoder`.
        num_classes: Number of classes.
        head_std: Initialise the layer's weights from N(0, head_std) and its bias with 0. By default, the
            initialisation of ``torch.nn.Linear`` is kept.
        **kwargs: Arguments of :class:`~mmskelssl.models.base.SkeletonEncoder`. The preprocessor must have no views.
    """
    variable_length = True

    def __init__(self, backbone: dict | nn.Module, num_classes: int, head_std: float | None = None, **kwargs):
        super().__init__(backbone, **kwargs)
        if getattr(self.data_preprocessor, 'views', None):
            raise UserError('SkeletonClassifier trains on unaugmented clips: remove data_preprocessor.views')
        check_integer('SkeletonClassifier: num_classes', num_classes)
        if head_std is not None:
            check_number('SkeletonClassifier: head_std', head_std, 0)
        self.head = nn.Linear(self.feat_channels, num_classes)
        if head_std is not None:
            nn.init.normal_(self.head.weight, 0., head_std)
            nn.init.zeros_(self.head.bias)

    def loss(self, inputs: Tensor, data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the cross-entropy loss of clips (N, C, T, V, M) and ``data_samples['label']`` (N,)."""
        if 'label' not in data_samples:
            raise UserError('SkeletonClassifier: some training clips have no label; add labels to the store')
        logits = self.head(self.extract_feat(inputs, data_samples.get('num_frames')))
        return dict(loss=F.cross_entropy(logits.float(), data_samples['label']))

    def forward(self, inputs: Tensor, data_samples: dict | None = None, mode: str = 'tensor'):
        """Return a dict of scalars (``loss``), logits (N, classes) (``predict``) or features (N, D) (``tensor``)."""
        data_samples = data_samples or {}
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        features = self.extract_feat(inputs, data_samples.get('num_frames'))
        return self.head(features) if mode == 'predict' else features
