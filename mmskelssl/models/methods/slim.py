"""SLiM (Do et al., NeurIPS 2026): self-distillation with masked feature prediction, without a decoder."""
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.base import SelfSupervisedModel
from mmskelssl.models.checks import check_arguments, check_integer, check_number
from mmskelssl.models.losses import assignment_loss, koleo
from mmskelssl.models.modules.masking import masked_rows, stratified, tube_groups, tube_masks
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.models.modules.prototypes import PrototypeHead, assignment_entropy, sinkhorn
from mmskelssl.models.modules.queue import FeatureQueue
from mmskelssl.models.monitors import in_batch_top1, mean_cosine
from mmskelssl.registry import MODELS


@MODELS.register_module()
class SLiM(SelfSupervisedModel):
    """Predict from masked and partial views what a teacher makes of the whole clip: DINO and iBOT on skeletons.

    The teacher, a moving average of the student, sees two long views of a clip without masks. Its class tokens are
    assigned to prototypes, and so are its joint tokens. The student predicts the assignment of the class token from
    the other long view and from short views, and those of the joint tokens that are masked in its long views.

    The encoder must be a :class:`~mmskelssl.models.backbones.vit.SkeletonViT` with class tokens. Features are those of
    the teacher. A view shows one person, which :class:`~mmskelssl.augment.PickPerson` picks from clips of several.

    Args:
        head: Arguments of :class:`PrototypeHead`, for the two heads, one for class tokens and one for joint tokens.
        momentum: Arguments of :class:`MomentumEncoder`. SLiM's momentum rises from 0.994 to 1.
        mask_ratio: Range of the share of masked tokens of a masked view.
        masked_views: Share of the long views that are masked. All short views are masked.
        temperature: Temperature of the student.
        teacher_temperature: Temperature of the teacher at the beginning, and from the end of its warm-up on.
        warmup: Share of the training in which the teacher's temperature rises.
        patch_weight, koleo_weight: Weights of the losses of joint tokens and of spread, relative to that of class
            tokens.
        frozen_prototypes: Share of the training, from its beginning, in which the prototypes do not change.
        queue_size: Number of recent class tokens of the teacher that are assigned to prototypes together with those of
            the batch. Useful if there are more prototypes than clips in a batch. SLiM has none.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    view_names = ('first', 'second')
    optional_views = tuple(f'local_{i}' for i in range(1, 9))
    evaluated_part = 'teacher.backbone'
    heads: Any  # a ModuleDict of prototype heads, of which type checkers know too little

    def __init__(self, *args, head: dict | None = None, momentum: dict | None = None,
                 mask_ratio: tuple[float, float] = (.5, .9), masked_views: float = .5, temperature: float = .1,
                 teacher_temperature: tuple[float, float] = (.04, .07), warmup: float = .2, patch_weight: float = 1.,
                 koleo_weight: float = .1, frozen_prototypes: float = 0., queue_size: int = 0, **kwargs):
        super().__init__(*args, **kwargs)
        if not getattr(self.backbone, 'cls_blocks', 0):
            raise UserError(f'SLiM compares class tokens, which {type(self.backbone).__name__} does not have: use '
                            'SkeletonViT with cls_blocks=1')
        self.mask_ratio = _pair('mask_ratio', mask_ratio, above=0, below=1)
        self.teacher_temperature = _pair('teacher_temperature', teacher_temperature, above=0)
        check_number('SLiM: masked_views', masked_views, 0, 1)
        check_number('SLiM: temperature', temperature, above=0)
        for name, value in (('patch_weight', patch_weight), ('koleo_weight', koleo_weight)):
            check_number(f'SLiM: {name}', value, 0)
        for name, value in (('warmup', warmup), ('frozen_prototypes', frozen_prototypes)):
            check_number(f'SLiM: {name}', value, 0, 1)
        check_integer('SLiM: queue_size', queue_size, 0, '; 0 keeps no class tokens')
        self.masked_views, self.temperature, self.warmup = masked_views, temperature, warmup
        self.patch_weight, self.koleo_weight, self.frozen_prototypes = patch_weight, koleo_weight, frozen_prototypes
        self.groups = tube_groups(self.backbone.layout)
        self.mask_token = nn.Parameter(torch.empty(self.backbone.channels))
        nn.init.trunc_normal_(self.mask_token, std=.02)
        head = check_arguments('head', head, 'dict(prototypes=1024)')
        self.heads = nn.ModuleDict({kind: PrototypeHead(self.backbone.channels, **head)
                                    for kind in ('cls', 'patch')})
        momentum = dict(momentum=.994, final_momentum=1.) if momentum is None else check_arguments(
            'momentum', momentum, 'dict(momentum=0.994)')
        self.teacher: Any = MomentumEncoder(**momentum, backbone=self.backbone, heads=self.heads)
        self.recent = FeatureQueue(self.heads['cls'].directions.shape[1], queue_size)

    @property
    def evaluated(self) -> nn.Module:
        """The teacher's encoder. Before the first step, and without a teacher in the checkpoint, it is the student."""
        self.teacher.start()
        return super().evaluated

    def update_key(self) -> None:
        """Move the teacher towards the student, as in :meth:`MomentumModel.update_key`."""
        if not torch.compiler.is_compiling():
            self.teacher.update(self.progress.fraction)

    def draw(self, views: dict[str, Tensor]) -> dict[str, Any]:
        """Draw the masks of both long views, (2N, L) bool, and of the short views of each length."""
        first, generator = views['first'], self.data_preprocessor.generator(views['first'].device)
        count = 2 * len(first)
        return dict(
            long=self.draw_masks(first, count, int(self.masked_views * count), first.shape[2], generator),
            short=[self.draw_masks(views[names[0]], len(names) * len(first), len(names) * len(first), first.shape[2],
                                   generator) for names in self.short_views(views)],
            temperature=torch.full((), self.temperature_at(self.progress.fraction), device=first.device),
            frozen=self.progress.fraction < self.frozen_prototypes)

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        draws = data_samples.get('draws') or self.draw(views)
        frozen, cls_head, patch_head = draws['frozen'], self.heads['cls'], self.heads['patch']
        self.update_key()

        patches, valid = self.cut(views, self.view_names)  # of both long views, first one then the other
        hidden = draws['long'] & valid
        rows, counts = masked_rows(hidden, self.most_masked(*hidden.shape))
        targets, cells, known, entropy = self.teach(patches, valid, rows, counts, draws['temperature'])

        tokens, cls = self.encode(self.backbone, patches, valid, hidden)
        first, second = cls_head(cls, frozen).chunk(2)
        pairs = [(first, targets[1]), (second, targets[0])]
        for names, masks in zip(self.short_views(views), draws['short'], strict=True):
            short = cls_head(self.encode(self.backbone, *self.cut(views, names), masks)[1], frozen)
            pairs += [(view, target) for view in short.chunk(len(names)) for target in targets]
        loss_cls = sum(assignment_loss(view, target, self.temperature).mean() for view, target in pairs) / len(pairs)

        # Each view counts equally, however many of its tokens are masked. Views without masks count as 0.
        errors = assignment_loss(patch_head(tokens.flatten(0, 1)[rows], frozen), cells, self.temperature)
        shares = (hidden / hidden.sum(1, keepdim=True).clamp(min=1)).flatten()[rows]  # 0 for tokens that do not count
        loss_patch = (errors * shares).sum() / len(hidden)

        loss_koleo = sum(koleo(view) for view in cls.chunk(2))
        return dict(loss_cls=loss_cls, loss_patch=self.patch_weight * loss_patch,
                    loss_koleo=self.koleo_weight * loss_koleo, hidden=hidden.float().mean(), assignment_entropy=entropy,
                    batch_top1=in_batch_top1(cls.chunk(2)[0], known[1]), batch_cosine=mean_cosine(known[1]))

    @torch.no_grad()
    def teach(self, patches: Tensor, valid: Tensor, rows: Tensor, counts: Tensor, temperature: Tensor):
        """Assign what the teacher sees without masks to prototypes.

        Args:
            patches, valid: (2N, L, C * l) and (2N, L), both long views.
            rows, counts: (H,), tokens that are masked for the student, see :func:`masked_rows`.
            temperature: Temperature of the teacher.

        Returns:
            Assignments of the class tokens, (N, K) for each view; those of the masked tokens (H, K); the class tokens
            (N, D) of each view; and the entropy of their mean assignment, see :func:`assignment_entropy`.
        """
        tokens, cls = self.encode(self.teacher.backbone, patches, valid)
        head = self.teacher.heads['cls']
        embedded = head.embed(cls)
        # All ranks have the same recent class tokens, so each adds its share of them.
        recent = self.recent.keys[get_rank()::get_world_size()].to(embedded)
        similarity = head.compare(torch.cat([embedded, recent]))
        targets = sinkhorn(similarity, temperature)[:len(cls)].chunk(2)
        self.recent.enqueue(embedded)
        cells = sinkhorn(self.teacher.heads['patch'](tokens.flatten(0, 1)[rows]), temperature, counts)
        return targets, cells, cls.chunk(2), assignment_entropy(similarity[:len(cls)], temperature)

    def encode(self, encoder, patches: Tensor, valid: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the joint tokens (P, L, D) and the last block's class tokens (P, D) of patches (P, L, C * l)."""
        masked = None if hidden is None else (hidden, self.mask_token)
        tokens, classes = encoder.read(encoder.embed(patches, masked), valid)
        return tokens, classes[:, -encoder.channels:]

    def cut(self, views: dict[str, Tensor], names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the patches (P, L, C * l) of the named views, one view after the other, and their validity (P, L)."""
        for name in names:
            if views[name].shape[4] != 1:
                raise UserError(f'SLiM: the view {name} shows {views[name].shape[4]} persons instead of one: put '
                                "dict(type='PickPerson') into a view that all views continue from, as in "
                                'configs/_base_/views/multicrop_person.py')
        patches, valid = zip(*(self.backbone.patches(views[name]) for name in names), strict=True)
        if len({part.shape[1] for part in patches}) > 1:
            raise UserError(f'SLiM: the views {" and ".join(names)} must have equally many frames')
        return torch.cat(patches), torch.cat(valid)

    def short_views(self, views: dict[str, Tensor]) -> list[list[str]]:
        """Return the names of the short views, grouped by their number of frames."""
        by_length: dict[int, list[str]] = {}
        for name in self.optional_views:
            if name in views:
                by_length.setdefault(views[name].shape[2], []).append(name)
        return [*by_length.values()]

    def draw_masks(self, view: Tensor, count: int, masked: int, longest: int, generator: torch.Generator) -> Tensor:
        """Draw semantic tube masks for ``masked`` of ``count`` views of the length of ``view``, in random order.

        A tube has at least as many cells as the view has time steps, and at most half of those of a long view.

        Args:
            view: (N, C, T, V, 1).
            count, masked: Numbers of views.
            longest: Number of frames of a long view.

        Returns:
            (count, L) bool, true for masked tokens.
        """
        joints, device = view.shape[3], view.device
        steps, most = (-(-frames // self.backbone.segment) for frames in (view.shape[2], longest))
        ratios = F.pad(stratified(masked, *self.mask_ratio, device, generator), (0, count - masked))
        order = torch.rand(count, generator=generator, device=device).argsort()
        budget = (ratios * steps * joints).long()[order]
        return tube_masks(budget, steps, self.groups, steps, most * joints / 2, generator).flatten(1)

    def most_masked(self, count: int, length: int) -> int:
        """Return the largest number of masked tokens of ``count`` long views of ``length`` tokens."""
        return int(self.masked_views * count) * int(self.mask_ratio[1] * length)

    def temperature_at(self, progress: float) -> float:
        """Return the teacher's temperature after the fraction ``progress`` of the training."""
        low, high = self.teacher_temperature
        return low + (high - low) * min(progress / self.warmup, 1.) if self.warmup else high


def _pair(name: str, value, **bounds) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise UserError(f'SLiM: {name} is {value!r}; it must be two numbers')
    for number in value:
        check_number(f'SLiM: {name}', number, **bounds)
    if value[0] > value[1]:
        raise UserError(f'SLiM: {name} is {value!r}; the first number must not exceed the second')
    return tuple(value)
