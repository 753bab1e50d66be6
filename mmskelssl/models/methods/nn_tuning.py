"""Nearest-neighbour tuning (STARS, Mehraban et al., 2024): the stage that makes features of a masked model cluster."""
import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.base import SelfSupervisedModel
from mmskelssl.models.checks import check_integer, check_number
from mmskelssl.models.losses import info_nce
from mmskelssl.models.modules.gather import gather, own_rows
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.norm import BatchNorm1d
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


@MODELS.register_module()
class NNTuning(SelfSupervisedModel):
    """Predict from a clip the projection of its nearest neighbour among recent clips.

    The loss is that of NNCLR (Dwibedi et al., ICCV 2021). Intended as the last stage after any method, above all
    after masked prediction. A projection is the pooled feature after batch norm. The published recipe does not augment:
    the neighbours provide the variety. With a second view, each view predicts the neighbour of the other.

    Args:
        queue_size: Number of recent projections. Choose at most the number of training clips. Entries of the same clip
            are never its neighbours.
        predictor_channels: Hidden width of the predictor, which has two layers with batch norm.
        temperature: Temperature of the cross entropy over the batches of all processes.
        frozen: Prefixes of parameters that are not trained, such as ``backbone.blocks.0.``. STARS trains only the upper
            half of the blocks.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    view_names = ('first',)
    optional_views = ('second',)
    takes_scores = True

    def __init__(self, *args, queue_size: int = 32768, predictor_channels: int = 4096, temperature: float = 0.07,
                 frozen: tuple[str, ...] = (), **kwargs):
        super().__init__(*args, **kwargs)
        check_integer('NNTuning: queue_size', queue_size)
        check_integer('NNTuning: predictor_channels', predictor_channels)
        check_number('NNTuning: temperature', temperature, above=0)
        width = self.feat_channels
        self.temperature = temperature
        self.projector = BatchNorm1d(width)
        self.predictor = Projector(width, predictor_channels, width, norm=True)
        self.queue = FeatureQueue(width, queue_size)
        self.register_buffer('queue_clips', torch.full((queue_size,), -1))
        for prefix in [frozen] if isinstance(frozen, str) else frozen:
            named = [p for name, p in self.named_parameters() if name.startswith(prefix)]
            if not named:
                raise UserError(f'NNTuning: frozen names {prefix!r}, but no parameter begins with it')
            for parameter in named:
                parameter.requires_grad_(False)

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        clips = data_samples['index']
        names = [name for name in (*self.view_names, *self.optional_views) if name in views]
        projected = [widen(self.projector(self.pool(self.backbone(views[name])))) for name in names]
        predicted = [F.normalize(widen(self.predictor(z)), dim=1) for z in projected]
        zs = [F.normalize(z, dim=1) for z in projected]
        neighbours = [self.neighbour(z, clips) for z in zs]
        losses = [self.contrast(neighbour, p) for neighbour, p in zip(neighbours, reversed(predicted), strict=True)]
        self.enqueue(zs[0], clips)
        return dict(loss=torch.stack(losses).mean(), batch_top1=in_batch_top1(predicted[-1], neighbours[0]),
                    batch_cosine=mean_cosine(zs[0]))

    def contrast(self, neighbours: Tensor, predicted: Tensor) -> Tensor:
        """Return the loss of finding the prediction for a neighbour (N, D) among those (N, D) of all processes."""
        everyone = gather(predicted)
        own = own_rows(len(predicted), predicted.device).unsqueeze(1)
        positives = torch.arange(len(everyone), device=predicted.device) == own
        return info_nce(neighbours @ everyone.t() / self.temperature, positives.float())

    @torch.no_grad()
    def neighbour(self, z: Tensor, clips: Tensor) -> Tensor:
        """Return the most similar queue entry (N, D) of another clip for each projection z (N, D)."""
        similarity = z.to(self.queue.keys) @ self.queue.keys.t()
        own = clips.unsqueeze(1) == self.queue_clips
        return self.queue.keys[similarity.masked_fill(own, -torch.inf).argmax(1)].to(z)

    @torch.no_grad()
    def enqueue(self, z: Tensor, clips: Tensor) -> None:
        """Add projections (N, D) and the numbers of their clips (N,), gathered from all ranks, to the queue."""
        places = self.queue.enqueue(z)
        ids = torch.cat(all_gather(clips)) if get_world_size() > 1 else clips
        self.queue_clips[places] = ids[-len(places):].to(self.queue_clips)
