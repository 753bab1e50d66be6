"""Feature decorrelation in time, over joints and of whole clips (USDRL, Weng et al., AAAI 2025)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.models.base import SelfSupervisedModel
from mmskelssl.models.checks import check_arguments, check_number
from mmskelssl.models.losses import covariance_penalty, variance_hinge
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


@MODELS.register_module()
class FeatureDecorrelation(SelfSupervisedModel):
    """Make views of a clip agree at three levels while the dimensions of each embedding stay spread and uncorrelated.

    The levels are the whole clip (the pooled feature), time (the strongest frame of the mean over joints), and joints
    (the strongest joint of the mean over time). USDRL has a transformer for each of the last two. Here they are read
    from the feature map of any encoder; an encoder without joints in its map has no level of joints. The method needs
    no negatives, no queue and no key encoder.

    Each view except the last is compared with the last and with the mean of all but the last. Where the paper does not
    state it, terms are averaged over views.

    Args:
        projector: Arguments of :class:`Projector`, for the projector of each level. USDRL uses three layers with
            2,048 outputs, and 4,096 for whole clips.
        similarity: Weight of the agreement.
        variance: Weight of the variance term relative to the covariance term.
        level_weight: Weight of the levels time and joints relative to that of whole clips.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    view_names = ('first', 'second')
    optional_views = ('third', 'fourth')
    takes_scores = True

    def __init__(self, *args, projector: dict | None = None, similarity: float = 5., variance: float = 5.,
                 level_weight: float = .5, **kwargs):
        super().__init__(*args, **kwargs)
        for name, value in (('similarity', similarity), ('variance', variance), ('level_weight', level_weight)):
            check_number(f'FeatureDecorrelation: {name}', value, 0)
        self.similarity, self.variance, self.level_weight = similarity, variance, level_weight
        projector = dict(hidden_channels=512, out_channels=1024, norm=True, layers=3) | check_arguments(
            'projector', projector, 'dict(out_channels=1024)')
        widths = dict(clip=self.feat_channels, time=self.backbone.out_channels)
        if self.backbone.maps_joints:
            widths['joint'] = self.backbone.out_channels
        self.projectors = nn.ModuleDict({level: Projector(width, **projector) for level, width in widths.items()})

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        embedded: dict[str, list[Tensor]] = {level: [] for level in self.projectors}
        for name in (*self.view_names, *self.optional_views):
            if name in views:
                features = self.levels(self.backbone(views[name]))
                for level, projector in self.projectors.items():
                    embedded[level].append(widen(projector(features[level])))
        losses: dict[str, Tensor] = {}
        for level, zs in embedded.items():
            weight = 1. if level == 'clip' else self.level_weight
            losses[f'loss_{level}_similarity'] = weight * self.similarity * agreement(zs)
            losses[f'loss_{level}_spread'] = weight * sum(
                self.variance * variance_hinge(z) + covariance_penalty(z) for z in zs) / len(zs)
        first, last = embedded['clip'][0], embedded['clip'][-1]
        return dict(**losses, batch_top1=in_batch_top1(first, last), batch_cosine=mean_cosine(last))

    def levels(self, features: Tensor) -> dict[str, Tensor]:
        """Reduce a feature map (N, M, D, T', V') to a feature (N, D) for each level."""
        cells = features.permute(0, 1, 3, 4, 2)  # as in the pooling
        made = dict(clip=self.pool(features), time=cells.mean(3).amax(2).mean(1))
        return made | (dict(joint=cells.mean(2).amax(2).mean(1)) if 'joint' in self.projectors else {})


def agreement(embeddings: list[Tensor]) -> Tensor:
    """Return the mean squared distance of embeddings (N, D) to the last one plus that to the mean of all but the last.

    Both are averaged over all embeddings but the last, over samples and dimensions. Source: USDRL's similarity term.
    """
    others, last = torch.stack(embeddings[:-1]), embeddings[-1]
    return F.mse_loss(others, last.expand_as(others)) + F.mse_loss(others, others.mean(0).expand_as(others))
