"""AimCLR (Guo et al., AAAI 2022): extreme augmentations, attention drop, nearest neighbours as positives."""
import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast, Progress
from mmskelssl.models.checks import check_integer, check_number
from mmskelssl.models.losses import contrast_logits, ddm, info_nce
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


def energy_drop(features: Tensor, keep: float = 0.7, epsilon: float = 1e-4) -> Tensor:
    """Zero the activations that deviate most from the map's mean: energy-based attention drop (AimCLR, section 3.2).

    The attention is the sigmoid of SimAM's inverse energy. Joints whose attention, averaged over channels and frames,
    reaches ``keep`` are dropped first. Then single activations that reach it are dropped. The remaining activations
    are scaled up to preserve the sum of the mask over the batch.

    Args:
        features: (N, M, D, T', V) feature map.
        keep: Attention from which activations are dropped.
        epsilon: Added to the variance for numerical stability.

    Returns:
        A map of the same shape. Gradients flow to the kept activations only.
    """
    if keep >= 1:
        return features  # the sigmoid is below 1, but rounds to it
    with torch.no_grad():
        x = widen(features)
        deviation = (x - x.mean((3, 4), keepdim=True)).square()
        count = features.shape[3] * features.shape[4] - 1
        variance = deviation.sum((3, 4), keepdim=True) / max(count, 1)
        attention = torch.sigmoid(deviation / (4 * (variance + epsilon)) + 0.5)
        joints = (attention.mean((2, 3), keepdim=True) < keep).to(features.dtype)
        cells = (attention < keep).to(features.dtype)
        kept = torch.stack([joints.float().mean(), cells.float().mean()])
        all_reduce(kept, 'mean')  # over the batches of all processes
        scale = kept.clamp_min(1e-6).prod()
    return features * (joints * cells / scale.to(features.dtype))


@MODELS.register_module()
class AimCLR(MomentumContrast):
    """Contrast a normal view with its key and train two extreme views to match its similarity distribution.

    Args:
        ddm_weight: Weight of the two divergence losses. InfoNCE has weight 1. The paper uses 0.5.
        mining_epoch: Epoch from which each query's nearest queue entries count as positives. None disables mining.
        mined: Number of nearest queue entries to mine per query.
        drop_keep: Attention from which :func:`energy_drop` drops activations. 0.7 follows the later released code,
            whose mask is repaired. 1 drops nothing, as the mask of December 2021 did by mistake. None omits the
            dropped view, for encoders without a feature map over joints.
        **kwargs: Arguments of :class:`MomentumContrast`.
    """
    view_names = ('extreme', 'query', 'key')
    contrast_loss = 'loss_contrast'

    def __init__(self, *args, ddm_weight: float = 0.5, mining_epoch: int | None = 150, mined: int = 1,
                 drop_keep: float | None = 0.7, **kwargs):
        if 'topk' in kwargs:
            raise UserError('AimCLR: topk is called mined (nearest neighbours mined per query); write '
                            f'mined={kwargs["topk"]}')
        super().__init__(*args, **kwargs)
        check_number('AimCLR: ddm_weight', ddm_weight, 0)
        check_integer('AimCLR: mined', mined, instead='; mining_epoch=None mines none')
        if mining_epoch is not None:
            check_integer('AimCLR: mining_epoch', mining_epoch, 0)
        if drop_keep is not None:  # the attention is a sigmoid of at least 1/2, so a lower value would drop everything
            check_number('AimCLR: drop_keep', drop_keep, high=1, above=0.6225)
        if mining_epoch is None:
            self.report_unused('mining_epoch is None', mined=None if mined == 1 else mined)
        elif not len(self.queue):
            raise UserError('AimCLR: queue_size=0 leaves no neighbours to mine: set mining_epoch=None, or a queue_size')
        if drop_keep is not None:
            self.need_joints('the attention drop', 'set drop_keep=None')
        self.ddm_weight, self.mining_epoch, self.mined, self.drop_keep = ddm_weight, mining_epoch, mined, drop_keep
        self.set_progress(self.progress)

    def set_progress(self, progress: Progress) -> None:
        super().set_progress(progress)
        # As a switch, so that a compiled step does not depend on the epoch.
        self.mining = self.mining_epoch is not None and progress.epoch >= self.mining_epoch

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.update_key()
        q = self.embed(self.backbone(views['query']))
        extreme = self.backbone(views['extreme'])
        disturbed = dict(extreme=self.embed(extreme))
        if self.drop_keep is not None:
            disturbed['dropped'] = self.embed(energy_drop(extreme, self.drop_keep))
        k = self.encode_key(views['key'])

        negatives = self.queue.negatives()
        logits, *others = (contrast_logits(x, k, negatives, self.temperature, self.in_batch)
                           for x in (q, *disturbed.values()))
        positives = None
        if self.mining:
            positives = self.mine(logits, *others)
        self.queue.enqueue(k)
        divergence = {f'loss_{name}': self.ddm_weight * ddm(theirs, logits)
                      for name, theirs in zip(disturbed, others, strict=True)}
        return dict(loss_contrast=info_nce(logits, positives), **divergence, **self.monitors(q, k))

    @classmethod
    def rename_options(cls, options: dict) -> dict:
        """Return the options of a checkpoint under their current names. ``mined`` was called ``topk`` before."""
        return {'mined' if name == 'topk' else name: value for name, value in options.items()}

    @torch.no_grad()
    def mine(self, *all_logits: Tensor) -> Tensor:
        """Return the mask (N, columns) of positives (section 3.3).

        Positives are the key itself and the queue entries nearest to any of the queries.
        """
        positives = torch.zeros_like(all_logits[0])
        positives[:, 0] = 1
        for logits in all_logits:
            nearest = logits[:, 1:1 + len(self.queue)].topk(min(self.mined, len(self.queue)), 1).indices
            positives.scatter_(1, nearest + 1, 1)
        return positives
