"""SkeAttnCLR (Hua et al., IJCAI 2023): contrast of whole clips and of their salient and non-salient features."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast
from mmskelssl.models.checks import check_arguments, check_choice, check_integer, check_number
from mmskelssl.models.losses import contrast_logits, info_nce
from mmskelssl.models.modules.attention_mask import AttentionMask
from mmskelssl.models.modules.heads import Projector
from mmskelssl.ops.precision import widen
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SkeAttnCLR(MomentumContrast):
    """Split a mixed clip's features with a self-attention mask and contrast each half with its counterpart in the key.

    The released code does not run as published. Its forward pass calls predictors that its constructor defines under
    other names (predictor_p and _c instead of _s and _ns). This class follows the forward pass with corrected names,
    which agrees with the paper's figure. It keeps only the parts of the released code that affect the loss. One queue
    of global keys serves all three contrasts (the released code fills two more but never reads them). The query's mask
    also pools the key's features, although the key view has its own crop and no swapped-in regions.

    Args:
        local_weight: Weight mu in L_global + mu * L_salient + (1 - mu) * L_rest. The paper's configs use 1 for the
            joint stream of NTU60, which omits the non-salient contrast, and 0.5 elsewhere.
        attention: Arguments of :class:`AttentionMask`, ``heads`` and ``sharpness``.
        mask: ``attention``, or for ablation ``none``, which keeps only the global contrast.
        predictor_channels: Hidden width of the three predictors on the query side. None uses no predictors. With
            predictors, only the query's gradient spreads the keys out, which takes far more steps than a small data
            set provides.
        **kwargs: Arguments of :class:`MomentumContrast`. The published recipe (momentum 0.996 to 1, BN statistics also
            averaged) updates the key encoder after each optimiser step. Here the update runs before the next step,
            which is equivalent.
    """
    view_names = ('query', 'key', 'mixed')
    contrast_loss = 'loss_global'

    def __init__(self, *args, local_weight: float = 0.5, attention: dict | None = None, mask: str = 'attention',
                 predictor_channels: int | None = 256, **kwargs):
        super().__init__(*args, **kwargs)
        check_choice('SkeAttnCLR: mask', mask, ('attention', 'none'))
        check_number('SkeAttnCLR: local_weight', local_weight, 0, 1)
        if predictor_channels is not None:
            check_integer('SkeAttnCLR: predictor_channels', predictor_channels, instead='; None uses no predictors')
        if mask == 'none':
            self.report_unused("mask is 'none'", attention=attention)
        self.local, self.local_weight = mask == 'attention', local_weight
        e, width = self.embedding_channels, predictor_channels
        if self.local:
            attention = check_arguments('attention', attention, 'dict(heads=8)')
            self.attention = AttentionMask(self.backbone.out_channels, **attention)
        self.predictors = nn.ModuleDict({name: Projector(e, width, e, norm=True) if width else nn.Identity()
                                         for name in (('whole', 'salient', 'rest') if self.local else ('whole',))})

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        self.update_key()
        q = self.predict('whole', self.projector(self.pool(self.backbone(views['query']))))
        mask, pairs = None, []
        if self.local:
            mixed = self.backbone(views['mixed'])
            mask = self.attention(mixed)
            q_salient, q_rest = (self.predict(name, self.projector(half))
                                 for name, half in zip(('salient', 'rest'), self.split(mixed, mask), strict=True))
            pairs = [('salient', self.local_weight, q_salient, q_rest.detach()),
                     ('rest', 1 - self.local_weight, q_rest, q_salient.detach())]
        k, *local_keys = self.keys(views['key'], mask)

        negatives = self.queue.negatives()
        losses = dict(loss_global=info_nce(contrast_logits(q, k, negatives, self.temperature, self.in_batch)))
        for (name, weight, q_half, other), k_half in zip(pairs, local_keys, strict=True):
            logits = contrast_logits(q_half, k_half, negatives, self.temperature, self.in_batch, other)
            losses[f'loss_{name}'] = weight * info_nce(logits)
        self.queue.enqueue(k)
        shown = {} if mask is None else dict(mask_mean=mask.detach().mean())
        return dict(**losses, **shown, **self.monitors(q, k))

    def predict(self, name: str, projected: Tensor) -> Tensor:
        """Apply a predictor to projected embeddings and L2-normalise the result, (N, E)."""
        return F.normalize(widen(self.predictors[name](projected)), dim=1)

    def split(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled salient and non-salient features, each (N, D).

        Both means divide by the number of all tokens, so they sum to the plain mean. The maxima of
        ``pooling='mean_max'`` have no such property.
        """
        masked = features * mask
        return self.pool(masked), self.pool(features - masked)

    @torch.no_grad()
    def keys(self, key_view: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Return keys (N, E) of a view: whole and, under the query's mask, salient and rest."""
        features = self.key_encoder.backbone(key_view)
        halves = () if mask is None else self.split(features, mask)
        return [F.normalize(widen(self.key_encoder.projector(pooled)), dim=1)
                for pooled in (self.pool(features), *halves)]

    @torch.no_grad()
    def attention_map(self, clips: Tensor) -> Tensor:
        """Return the mask's mean over the channels, (N, M, T', V), for clips in the backbone's input format."""
        if not self.local:
            raise UserError("SkeAttnCLR: a model trained with mask='none' has no mask to show")
        return self.attention(self.backbone(clips)).mean(2)
