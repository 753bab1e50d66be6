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
    """Train three differently augmented queries to match the similarities between a key and the queue.

    The actionlet is the part of a clip that differs from the static anchor, the average clip. The motion-adaptive
    transformation changes only what lies outside the actionlet. The key pools what lies inside it. Initialise the
    model from an AimCLR checkpoint.

    The released versions of the code differ from each other. Where they do, this class follows the paper: the
    similarity to the anchor is computed over the feature axis (:func:`actionlet_mask`), keys are mixed per sample,
    and no input is modified in place.

    Args:
        mask: ``actionlet``, or for ablation ``ones`` (everything is the actionlet) or ``zeros`` (nothing is).
        threshold: ``published`` or ``relative``, see :func:`actionlet_mask`.
        anchor: ``batch`` uses the embedding of the batch's mean clip as the anchor, ``running`` its running mean.
        topk: Number of queue entries to compare, those nearest to the teacher's key. A shorter queue is used in full.
        temperatures: Temperatures of the student and the teacher.
        late_epoch: Epoch from which the second branch pastes smaller regions.
        contrast_weight: Weight of an InfoNCE term between the first two branches and the key. The paper has none (0).
            Its loss is also satisfied when all similarities are equal, and the embedding drifts towards that state
            with a short queue and few clips.
        temperature, in_batch: Options of the InfoNCE term. Without that term they have no effect, and a warning is
            logged.
        **kwargs: Arguments of :class:`MomentumContrast`.
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

        # Branch 1, intra-instance: keep the actionlet of the normal view, take the rest from the strong view.
        normal_mask, weak_mask = self.masks(normal, anchor), self.masks(weak, anchor)
        adapted = blend(normal_mask.flatten(0, 1).unsqueeze(1), normal, strong)
        # Branch 2, inter-instance: take the style of another body and regions of another clip, keep the actionlet.
        late = self.progress.epoch >= self.late_epoch
        plan = draw_mix(len(weak), frames, len(self.layout.parts), draw,
                        parts=(1, 2) if late else (2, 3), cells=(1, 3) if late else (3, 5))
        lender = draw_shift(len(weak), torch.rand((), generator=draw, device=draw.device).item())
        styled = transfer_style(weak, lender, self.stream, self.layout)
        kept = blend(weak_mask.flatten(0, 1).unsqueeze(1), styled, mix(styled, plan, self.layout))
        # Branch 3, inter-instance, plain: mix the target like the clip, weighted by attention.
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
        """Return the key encoder's embedding of the batch's average clip, (1, E), not normalised."""
        average = key_view.mean(0, keepdim=True)
        anchor = widen(self.key_encoder.projector(self.pool(self.key_encoder.backbone(average))))
        if self.anchor == 'running':
            anchor = anchor.to(self.running_anchor)
            all_reduce(anchor, 'mean')  # ranks hold different batches, but the buffer must be the same on all of them
            first = self.running_anchor.abs().sum() == 0
            self.running_anchor.copy_(torch.where(first, anchor, self.running_anchor.lerp(anchor, 0.1)))
            anchor = self.running_anchor.clone()
        return anchor

    @torch.no_grad()
    def mask_of(self, features: Tensor, projector, anchor: Tensor) -> Tensor:
        """Return the actionlet (N, M, T', V) of a feature map, or the constant mask of an ablation."""
        if self.mask != 'actionlet':
            return self.constant_mask(features)
        pooled = self.pool(widen(features.detach()))
        return actionlet_mask(features, projector, anchor, self.layout, self.threshold, pooled)

    def constant_mask(self, x: Tensor) -> Tensor:
        """Return the constant mask (N, M, T, V) of an ablation for a tensor (N, M, D, T, V)."""
        return x.new_full((*x.shape[:2], *x.shape[3:]), float(self.mask == 'ones'), dtype=torch.float32)

    @torch.no_grad()
    def masks(self, view: Tensor, anchor: Tensor) -> Tensor:
        """Return the actionlet (N, M, ceil(T / 4), V) of a query view, computed with the query encoder."""
        if self.mask != 'actionlet':  # the mask is constant: skip the forward pass
            return self.constant_mask(view.permute(0, 4, 1, 2, 3)[:, :, :, ::4])
        features, cells = self.backbone(view), -(-view.shape[2] // 4)
        if features.shape[3] != cells:
            raise UserError(f'ActCLR mixes on cells of 4 frames (docs/methods.md 1.3), but the map of '
                            f'{type(self.backbone).__name__} has {features.shape[3]} frames instead of {cells}: use an '
                            "encoder that halves the frames twice, or mask='ones'")
        return self.mask_of(features, self.projector, anchor)

    def attention_map(self, clips: Tensor) -> Tensor:
        """Return the actionlets (N, M, T', V) of clips in the backbone's input format.

        The anchor is the average of these clips only.
        """
        return self.masks(clips, self.static_anchor(clips))

    @torch.no_grad()
    def semantic_key(self, key_view: Tensor, anchor: Tensor) -> Tensor:
        """Return keys (N, E): the mean of the whole clip's and its actionlet's embeddings, L2-normalised."""
        features = self.key_encoder.backbone(key_view)
        mask = self.mask_of(features, self.key_encoder.projector, anchor)
        whole, salient = (widen(self.key_encoder.projector(pooled))
                          for pooled in (self.pool(features), self.pool(features, mask=mask)))
        return F.normalize((whole + salient) / 2, dim=1)

    @torch.no_grad()
    def mix_keys(self, k: Tensor, mask: Tensor, plan, frames: int) -> Tensor:
        """Return the keys (N, E) of mixed clips.

        The keys of the two source clips are weighted by the share of each clip's attention that the mix retains.
        """
        attention = (mask / 0.1).exp()
        attention = attention / attention.sum((2, 3), keepdim=True)
        pasted, replaced = plan.masks(frames, self.layout, attention.device, attention.dtype)
        from_partner = (attention.roll(-plan.shift, 0) * pasted).sum((2, 3)).mean(1)
        from_itself = (attention * (1 - replaced)).sum((2, 3)).mean(1)
        share = (from_partner / (from_partner + from_itself)).unsqueeze(1)
        return F.normalize((1 - share) * k + share * k.roll(-plan.shift, 0), dim=1)
