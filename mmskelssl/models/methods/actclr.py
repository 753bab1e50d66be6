"""ActCLR (Lin et al., CVPR 2023): actionlet-dependent contrast on unlabelled clips."""
import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.augment import blend, draw_mix, draw_shift, mix, transfer_style
from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast
from mmskelssl.models.losses import contrast_logits, info_nce
from mmskelssl.models.modules.actionlet import actionlet_mask
from mmskelssl.ops.precision import widen
from mmskelssl.ops.queue_kl import queue_similarity_kl
from mmskelssl.registry import MODELS


@MODELS.register_module()
class ActCLR(MomentumContrast):
    """Similarities of a key to the queue are the target of three differently disturbed queries.

    The actionlet is where a clip differs from the static anchor, the average clip. The motion-adaptive transformation
    disturbs what is outside it, and the key pools what is inside it. Initialise from AimCLR.

    Where the released versions of the code differ, this one follows the paper and says so: the anchor's similarity
    runs over the feature axis (:func:`actionlet_mask`), keys are mixed by sample, and nothing is changed in place.

    Args:
        mask: ``actionlet``, or for ablation ``ones`` (everything is the actionlet) or ``zeros`` (nothing is).
        threshold: ``published`` or ``relative``, see :func:`actionlet_mask`.
        anchor: ``batch``: the anchor is the embedding of the batch's mean clip. ``running``: its running mean.
        topk: Queue entries compared, the teacher's nearest; fewer if the queue is shorter.
        temperatures: Student's and teacher's.
        late_epoch: From here on the second branch pastes smaller regions.
        contrast_weight: Weight of an InfoNCE term of the first two branches with the key. The paper has none (0):
            similarities that are all alike satisfy its loss too, and with a short queue and few clips the embedding
            drifts there.
        temperature, in_batch: Of the InfoNCE term; without it they have no effect, which the log says.
        **kwargs: Of :class:`MomentumContrast`.
    """
    view_names = ('strong', 'normal', 'weak', 'key')

    def __init__(self, *args, mask: str = 'actionlet', threshold: str = 'published', anchor: str = 'batch',
                 topk: int = 8192, temperatures: tuple[float, float] = (0.1, 0.04), late_epoch: int = 200,
                 contrast_weight: float = 0., temperature: float | None = None, in_batch: bool = False, **kwargs):
        if not contrast_weight:
            self.report_unused('contrast_weight is 0', temperature=temperature, in_batch=in_batch or None)
        if kwargs.get('queue_size') == 0:
            raise UserError('ActCLR: queue_size=0 leaves no similarities to compare: set a queue_size')
        super().__init__(*args, temperature=0.07 if temperature is None else temperature, in_batch=in_batch, **kwargs)
        for name, value, choices in (('mask', mask, ('actionlet', 'ones', 'zeros')),
                                     ('anchor', anchor, ('batch', 'running'))):
            if value not in choices:
                raise UserError(f'ActCLR: {name} is {value!r}: choose one of {", ".join(choices)}')
        if mask != 'actionlet':
            self.report_unused(f'mask is {mask!r}', threshold=None if threshold == 'published' else threshold)
        if topk < 1:
            raise UserError(f'ActCLR: topk is {topk}: compare at least 1 queue entry')
        self.layout, self.stream = self.data_preprocessor.layout, self.data_preprocessor.stream
        if mask == 'actionlet':
            self.need_joints('an actionlet', "set mask='ones'")
        if mask == 'actionlet' and not self.layout.parts:
            raise UserError(f'ActCLR: layout {self.layout.name!r} has no body parts: give it `parts`')
        self.mask, self.threshold, self.anchor, self.topk = mask, threshold, anchor, topk
        self.temperatures, self.late_epoch, self.contrast_weight = temperatures, late_epoch, contrast_weight
        if anchor == 'running':
            self.register_buffer('running_anchor', torch.zeros(1, self.queue.keys.shape[1]))

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        normal, strong, weak, key_view = (views[name] for name in ('normal', 'strong', 'weak', 'key'))
        frames, draw = normal.shape[2], self.data_preprocessor.generator(normal.device)
        self.key_encoder.update(self.progress.fraction)
        anchor = self.static_anchor(key_view)
        k = self.semantic_key(key_view, anchor)

        # Branch 1, intra-instance: the actionlet stays normal, the rest is strongly augmented.
        normal_mask, weak_mask = self.masks(normal, anchor), self.masks(weak, anchor)
        adapted = blend(normal_mask.flatten(0, 1).unsqueeze(1), normal, strong)
        # Branch 2, inter-instance: another body's style, another clip's regions, the actionlet kept.
        late = self.progress.epoch >= self.late_epoch
        plan = draw_mix(len(weak), frames, len(self.layout.parts), draw,
                        parts=(1, 2) if late else (2, 3), cells=(1, 3) if late else (3, 5))
        lender = draw_shift(len(weak), torch.rand((), generator=draw, device=draw.device).item())
        styled = transfer_style(weak, lender, self.stream, self.layout)
        kept = blend(weak_mask.flatten(0, 1).unsqueeze(1), styled, mix(styled, plan, self.layout))
        # Branch 3, inter-instance, plain: the target is mixed as the clip was, weighed by attention.
        plan = draw_mix(len(weak), frames, len(self.layout.parts), draw)
        mixed, k_mixed = mix(weak, plan, self.layout), self.mix_keys(k, weak_mask, plan, frames)

        queries = [self.embed(self.backbone(view)) for view in (adapted, kept, mixed)]
        similarity = queue_similarity_kl(queries, (k, k, k_mixed), self.queue.keys.t(), self.topk, self.temperatures)
        losses = {f'loss_{name}': loss for name, loss in zip(('intra', 'inter', 'mixed'), similarity, strict=True)}
        if self.contrast_weight:
            negatives = self.queue.negatives()
            losses['loss_contrast'] = self.contrast_weight * sum(
                info_nce(contrast_logits(q, k, negatives, self.temperature, self.in_batch)) for q in queries[:2]) / 2
        self.queue.enqueue(k)
        return dict(**losses, mask_mean=normal_mask.mean(), **self.monitors(queries[0], k))

    @torch.no_grad()
    def static_anchor(self, key_view: Tensor) -> Tensor:
        """(1, E) embedding of the batch's average clip by the key encoder, not normalised."""
        average = key_view.mean(0, keepdim=True)
        anchor = widen(self.key_encoder.projector(self.pool(self.key_encoder.backbone(average))))
        if self.anchor == 'running':
            anchor = anchor.to(self.running_anchor)
            all_reduce(anchor, 'mean')  # ranks hold different batches; the buffer must be one
            first = self.running_anchor.abs().sum() == 0
            self.running_anchor.copy_(torch.where(first, anchor, self.running_anchor.lerp(anchor, 0.1)))
            anchor = self.running_anchor.clone()
        return anchor

    @torch.no_grad()
    def mask_of(self, features: Tensor, projector, anchor: Tensor) -> Tensor:
        """(N, M, T', V) actionlet of a feature map, or its ablation."""
        if self.mask != 'actionlet':
            return self.constant_mask(features)
        pooled = self.pool(widen(features.detach()))
        return actionlet_mask(features, projector, anchor, self.layout, self.threshold, pooled)

    def constant_mask(self, x: Tensor) -> Tensor:
        """(N, M, T, V) of the ablation, for a tensor (N, M, D, T, V)."""
        return x.new_full((*x.shape[:2], *x.shape[3:]), float(self.mask == 'ones'), dtype=torch.float32)

    @torch.no_grad()
    def masks(self, view: Tensor, anchor: Tensor) -> Tensor:
        """Actionlet of a query view, from the query encoder; (N, M, ceil(T / 4), V)."""
        if self.mask != 'actionlet':  # no need to look
            return self.constant_mask(view.permute(0, 4, 1, 2, 3)[:, :, :, ::4])
        features, cells = self.backbone(view), -(-view.shape[2] // 4)
        if features.shape[3] != cells:
            raise UserError(f'ActCLR mixes on cells of 4 frames (docs/methods.md 1.3), but the map of '
                            f'{type(self.backbone).__name__} has {features.shape[3]} frames instead of {cells}: use an '
                            "encoder that halves the frames twice, or mask='ones'")
        return self.mask_of(features, self.projector, anchor)

    def attention_map(self, clips: Tensor) -> Tensor:
        """Actionlets (N, M, T', V) of clips as the backbone gets them; the anchor is the average of just these."""
        return self.masks(clips, self.static_anchor(clips))

    @torch.no_grad()
    def semantic_key(self, key_view: Tensor, anchor: Tensor) -> Tensor:
        """Key: half the whole clip, half its actionlet, then L2-normalised (N, E)."""
        features = self.key_encoder.backbone(key_view)
        mask = self.mask_of(features, self.key_encoder.projector, anchor)
        whole, salient = (widen(self.key_encoder.projector(pooled))
                          for pooled in (self.pool(features), self.pool(features, mask=mask)))
        return F.normalize((whole + salient) / 2, dim=1)

    @torch.no_grad()
    def mix_keys(self, k: Tensor, mask: Tensor, plan, frames: int) -> Tensor:
        """Key of a mixed clip: both clips' keys, by the share of their attention that is left in it (N, E)."""
        attention = (mask / 0.1).exp()
        attention = attention / attention.sum((2, 3), keepdim=True)
        pasted, replaced = plan.masks(frames, self.layout, attention.device, attention.dtype)
        from_partner = (attention.roll(-plan.shift, 0) * pasted).sum((2, 3)).mean(1)
        from_itself = (attention * (1 - replaced)).sum((2, 3)).mean(1)
        share = (from_partner / (from_partner + from_itself)).unsqueeze(1)
        return F.normalize((1 - share) * k + share * k.roll(-plan.shift, 0), dim=1)
