"""ActCLR (Lin et al., CVPR 2023): actionlet-dependent contrast on unlabelled clips."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from mmskelssl.augment import blend, draw_mix, draw_shift, mix, partners, transfer_style
from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast
from mmskelssl.models.checks import check_choice, check_choices, check_integer, check_number, check_switch
from mmskelssl.models.losses import contrast_logits, info_nce
from mmskelssl.models.modules.actionlet import actionlet_mask, random_actionlet
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
        mask: ``actionlet``, or for ablation ``ones`` (everything is the actionlet), ``zeros`` (nothing is, so the key
            is the plain key) or ``random`` (:func:`random_actionlet`).
        threshold: ``published`` or ``relative``, see :func:`actionlet_mask`.
        anchor: ``batch`` uses the embedding of the batch's mean clip as the anchor, ``running`` its running mean.
        motion_adaptive: Use the actionlet in the transformations of the first two branches. If False, they change the
            whole body: the first branch sees the strong view, the second one the mixed clip.
        semantic_pooling: Use the actionlet in the pooling of the key. If False, the key is the plain key.
        branches: The branches to train, one or more of ``intra``, ``inter`` and ``mixed``.
        transfer_in_place: Mix the transferred clip in the third branch, as in the released code, whose transfer for the
            joint stream overwrites its input. If False, the third branch mixes the original clip.
        topk: Number of queue entries to compare, those nearest to the teacher's key. A shorter queue is used in full.
        temperatures: Temperatures of the student and the teacher.
        late_epoch: Epoch from which the second branch pastes smaller regions.
        contrast_weight: Weight of an InfoNCE term between the first two branches and the key. The paper has none (0).
            Its loss is also satisfied when all similarities are equal, and the embedding drifts towards that state
            with a short queue and few clips.
        temperature, in_batch: Options of the InfoNCE term.
        **kwargs: Arguments of :class:`MomentumContrast`.

    A warning names the options that have no effect in the given combination.
    """
    view_names = ('strong', 'normal', 'weak', 'key')
    takes_pools = False  # mixes the joints of different clips

    def __init__(self, *args, mask: str = 'actionlet', threshold: str = 'published', anchor: str = 'batch',
                 motion_adaptive: bool = True, semantic_pooling: bool = True,
                 branches: str | Sequence[str] = ('intra', 'inter', 'mixed'), transfer_in_place: bool = False,
                 topk: int = 8192, temperatures: tuple[float, float] = (0.1, 0.04), late_epoch: int = 200,
                 contrast_weight: float = 0., temperature: float | None = None, in_batch: bool = False, **kwargs):
        if kwargs.get('queue_size') == 0:
            raise UserError('ActCLR: queue_size=0 leaves no similarities to compare: set a queue_size')
        super().__init__(*args, temperature=0.07 if temperature is None else temperature, in_batch=in_batch, **kwargs)
        check_choice('ActCLR: mask', mask, ('actionlet', 'ones', 'zeros', 'random'))
        check_choice('ActCLR: threshold', threshold, ('published', 'relative'))
        check_choice('ActCLR: anchor', anchor, ('batch', 'running'))
        check_integer('ActCLR: topk', topk)
        check_integer('ActCLR: late_epoch', late_epoch, 0)
        check_number('ActCLR: contrast_weight', contrast_weight, 0)
        if not isinstance(temperatures, Sequence) or isinstance(temperatures, str) or len(temperatures) != 2:
            raise UserError(f'ActCLR: temperatures is {temperatures!r}; give that of the student and of the teacher')
        for value in temperatures:
            check_number('ActCLR: each of temperatures', value, above=0)
        for name, value in (('motion_adaptive', motion_adaptive), ('semantic_pooling', semantic_pooling),
                            ('transfer_in_place', transfer_in_place)):
            check_switch(f'ActCLR: {name}', value)
        self.branches = check_choices('ActCLR: branches', branches, ('intra', 'inter', 'mixed'))
        self.layout, self.stream = self.data_preprocessor.layout, self.data_preprocessor.stream
        self.mask, self.threshold, self.anchor, self.topk = mask, threshold, anchor, topk
        self.motion_adaptive, self.semantic_pooling = motion_adaptive, semantic_pooling
        self.transfer_in_place = transfer_in_place and self.stream == 'joint'
        self.temperatures, self.late_epoch, self.contrast_weight = temperatures, late_epoch, contrast_weight
        self.computes_mask = mask in ('actionlet', 'random')
        if self.computes_mask:
            self.need_joints('an actionlet', "set mask='ones'")
            if not self.layout.parts:
                raise UserError(f'ActCLR: layout {self.layout.name!r} has no body parts: give it `parts`')
        self._report(temperature=temperature, in_batch=in_batch or None, transfer_in_place=transfer_in_place or None)
        if anchor == 'running':
            self.register_buffer('running_anchor', torch.zeros(1, self.queue.keys.shape[1]))

    def _report(self, **given) -> None:
        """Log which options have no effect. Those in ``given`` are not None if they are set."""
        given.update(mask=None if self.mask == 'actionlet' else self.mask,
                     threshold=None if self.threshold == 'published' else self.threshold,
                     anchor=None if self.anchor == 'batch' else self.anchor,
                     motion_adaptive=None if self.motion_adaptive else False,
                     semantic_pooling=None if self.semantic_pooling else False,
                     late_epoch=None if self.late_epoch == 200 else self.late_epoch,
                     contrast_weight=self.contrast_weight or None)

        def unused(reason: str, *names: str) -> None:
            self.report_unused(reason, **{name: given.pop(name, None) for name in names})
        if not {'intra', 'inter'} & set(self.branches):
            unused('branches has neither intra nor inter', 'motion_adaptive', 'contrast_weight', 'temperature',
                   'in_batch')
        if not self.contrast_weight:
            unused('contrast_weight is 0', 'temperature', 'in_batch')
        if 'inter' not in self.branches:
            unused('branches has no inter', 'late_epoch')
        if 'mixed' not in self.branches:
            unused('branches has no mixed', 'transfer_in_place')
        elif self.stream != 'joint':
            unused(f'the stream is {self.stream}, whose transfer does not overwrite its input', 'transfer_in_place')
        if not (self.motion_adaptive or self.semantic_pooling or 'mixed' in self.branches):
            unused('motion_adaptive and semantic_pooling are off and branches has no mixed', 'mask', 'threshold',
                   'anchor')
        if not self.computes_mask:
            names = ('threshold', 'anchor', 'semantic_pooling', 'motion_adaptive')
            unused(f'mask is {self.mask!r}', *names[:4 if self.mask == 'zeros' else 3])

    def draw(self, views: dict[str, Tensor]) -> dict[str, Any]:
        """Draw the mixing plans of two branches and the distance to the clip that lends its style."""
        weak, parts, late = views['weak'], len(self.layout.parts), self.progress.epoch >= self.late_epoch
        n, frames, device = len(weak), weak.shape[2], weak.device
        generator = self.data_preprocessor.generator(device)
        kept = draw_mix(n, frames, parts, generator, parts=(1, 2) if late else (2, 3),
                        cells=(1, 3) if late else (3, 5), device=device)
        # In float32, but rounded down in float64, as for a Python number.
        lender = draw_shift(n, torch.rand((), generator=generator, device=device).double())
        return dict(kept=kept, lender=lender, mixed=draw_mix(n, frames, parts, generator, device=device))

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        normal, strong, weak, key_view = (views[name] for name in ('normal', 'strong', 'weak', 'key'))
        frames = normal.shape[2]
        # Draw everything first. The draws are then the same when a branch is off or the actionlet is random.
        draws = data_samples.get('draws') or self.draw(views)
        kept_plan, lender, mixed_plan = draws['kept'], draws['lender'], draws['mixed']

        self.update_key()
        intra, inter, mixed = (name in self.branches for name in ('intra', 'inter', 'mixed'))
        uses_mask = self.motion_adaptive or self.semantic_pooling or mixed
        anchor = self.static_anchor(key_view) if self.computes_mask and uses_mask else None
        k = self.semantic_key(key_view, anchor)
        normal_mask = self.masks(normal, anchor) if intra and self.motion_adaptive else None
        weak_mask = self.masks(weak, anchor) if mixed or (inter and self.motion_adaptive) else None

        clips, keys = [], []
        if intra:  # keep the actionlet of the normal view, take the rest from the strong view
            clips.append(self.keep(normal_mask, normal, strong))
            keys.append(k)
        styled = transfer_style(weak, lender, self.stream, self.layout, int(self.data_preprocessor.scores))
        if inter:  # take the style of another body and regions of another clip, keep the actionlet
            clips.append(self.keep(weak_mask, styled, mix(styled, kept_plan, self.layout)))
            keys.append(k)
        if mixed and weak_mask is not None:  # mix the target like the clip, weighted by attention
            clips.append(mix(styled if self.transfer_in_place else weak, mixed_plan, self.layout))
            keys.append(self.mix_keys(k, weak_mask, mixed_plan, frames))

        queries = [self.embed(self.backbone(clip)) for clip in clips]
        similarity = queue_similarity_kl(queries, keys, self.queue.keys.t(), self.topk, self.temperatures)
        losses = {f'loss_{name}': loss for name, loss in zip(self.branches, similarity, strict=True)}
        contrasted = queries[:intra + inter]
        if self.contrast_weight and contrasted:
            negatives = self.queue.negatives()
            losses['loss_contrast'] = self.contrast_weight * sum(info_nce(contrast_logits(
                q, k, negatives, self.temperature, self.in_batch)) for q in contrasted) / len(contrasted)
        self.queue.enqueue(k)
        mask = weak_mask if normal_mask is None else normal_mask
        shown = {} if mask is None else dict(mask_mean=mask.mean())
        return dict(**losses, **shown, **self.monitors(queries[0], keys[0]))

    def keep(self, mask: Tensor | None, clip: Tensor, changed: Tensor) -> Tensor:
        """Return the changed clip, with the original within the actionlet if the transformation is motion-adaptive."""
        if mask is None or not self.motion_adaptive:
            return changed
        return blend(mask.flatten(0, 1).unsqueeze(1), clip, changed)

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
    def mask_of(self, features: Tensor, projector, anchor: Tensor | None) -> Tensor:
        """Return the actionlet (N, M, T', V) of a feature map, or the mask of an ablation."""
        if not self.computes_mask or anchor is None:
            return self.constant_mask(features)
        pooled = self.pool(widen(features.detach()))
        mask = actionlet_mask(features, projector, anchor, self.layout, self.threshold, pooled)
        if self.mask == 'random':
            mask = random_actionlet(mask, self.layout, self.data_preprocessor.generator(mask.device))
        return mask

    def constant_mask(self, x: Tensor) -> Tensor:
        """Return the constant mask (N, M, T, V) of an ablation for a tensor (N, M, D, T, V)."""
        return x.new_full((*x.shape[:2], *x.shape[3:]), float(self.mask == 'ones'), dtype=torch.float32)

    @torch.no_grad()
    def masks(self, view: Tensor, anchor: Tensor | None) -> Tensor:
        """Return the actionlet (N, M, ceil(T / 4), V) of a query view, computed with the query encoder."""
        if not self.computes_mask:  # the mask is constant: skip the forward pass
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
        return self.masks(clips, self.static_anchor(clips) if self.computes_mask else None)

    @torch.no_grad()
    def semantic_key(self, key_view: Tensor, anchor: Tensor | None) -> Tensor:
        """Return keys (N, E): the mean of the whole clip's and its actionlet's embeddings, L2-normalised.

        Without semantic pooling, or without any actionlet, the key is the whole clip's embedding.
        """
        features = self.key_encoder.backbone(key_view)
        key = widen(self.key_encoder.projector(self.pool(features)))
        if self.semantic_pooling and self.mask != 'zeros':
            mask = self.mask_of(features, self.key_encoder.projector, anchor)
            key = (key + widen(self.key_encoder.projector(self.pool(features, mask=mask)))) / 2
        return F.normalize(key, dim=1)

    @torch.no_grad()
    def mix_keys(self, k: Tensor, mask: Tensor, plan, frames: int) -> Tensor:
        """Return the keys (N, E) of mixed clips.

        The keys of the two source clips are weighted by the share of each clip's attention that the mix retains.
        """
        attention = (mask / 0.1).exp()
        attention = attention / attention.sum((2, 3), keepdim=True)
        pasted, replaced = plan.masks(frames, self.layout, attention.device, attention.dtype)
        from_partner = (partners(attention, plan.shift) * pasted).sum((2, 3)).mean(1)
        from_itself = (attention * (1 - replaced)).sum((2, 3)).mean(1)
        share = (from_partner / (from_partner + from_itself)).unsqueeze(1)
        return F.normalize((1 - share) * k + share * partners(k, plan.shift), dim=1)
