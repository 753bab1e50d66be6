"""CRRL (Wang et al., IEEE TIP 2022): contrast of a movement with its velocity, and reconstruction, fused.

Two stages. :class:`CRRLMotion` (the paper's contrastive motion learner) trains a sequence encoder to find a clip's
velocity among those of other clips. :class:`CRRL` then trains a new encoder to rebuild the movement, forwards and
backwards (:class:`CRRLReconstruct`, the sequence reconstructor), while it also predicts the first one's features (the
information fuser). Velocity is the frame difference, v[t] = x[t + 1] - x[t], nothing else. Nothing is augmented.
"""
import copy

import torch
from torch import Tensor, nn

from mmskelssl.augment import to_stream
from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast, SelfSupervisedModel
from mmskelssl.models.losses import contrast_logits, distillation, info_nce, masked_reconstruction
from mmskelssl.models.modules.decoder import SequenceDecoder
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.ops.grouped_gru import reverse
from mmskelssl.registry import MODELS


def check_sequences(model: SelfSupervisedModel) -> None:
    """CRRL needs an encoder with a state for each frame of a clip of any length."""
    if not model.backbone.variable_length:
        raise UserError(f'{type(model).__name__} needs a sequence encoder with a state for each frame, such as BiGRU; '
                        f'{type(model.backbone).__name__} is none')


def true_lengths(clip: Tensor, data_samples: dict[str, Tensor]) -> Tensor:
    """(N,) real frames of clips (N, C, T, V, M); all of them where the batch does not say."""
    lengths = data_samples.get('num_frames')
    return torch.full((len(clip),), clip.shape[2], device=clip.device) if lengths is None else lengths


@MODELS.register_module()
class CRRLMotion(MomentumContrast):
    """Contrastive motion learner: the coordinates of a clip are the query, its velocity is the key.

    As published, both views are the clip itself. Where they are augmented, each is by itself: what they share by
    chance, such as one random turn, would be the easiest thing to find a clip by.

    Args:
        key_head: ``fixed``: the key's projector is a random one that nothing ever changes, as in the released
            code. ``momentum``: it follows the query's, as elsewhere.
        velocity: ``difference``: the frame difference as it is. ``range``: scaled, clip by clip, to a largest absolute
            value of 1. Both encoders share their weights but for the momentum, so that the scales should be alike; the
            published preprocessing is unknown.
        **kwargs: Of :class:`MomentumContrast`. The published queue is short: 64 keys, two batches.
    """
    view_names = ('query', 'key')
    variable_length = True

    def __init__(self, *args, key_head: str = 'fixed', velocity: str = 'difference', **kwargs):
        super().__init__(*args, **kwargs)
        check_sequences(self)
        for name, value, choices in (('key_head', key_head, ('fixed', 'momentum')),
                                     ('velocity', velocity, ('difference', 'range'))):
            if value not in choices:
                raise UserError(f'CRRLMotion: {name} is {value!r}: choose one of {", ".join(choices)}')
        self.velocity = velocity
        if key_head == 'fixed':
            projector = copy.deepcopy(self.projector).requires_grad_(False)
            projector.reset_parameters()
            self.key_encoder = MomentumEncoder(**(kwargs.get('momentum') or {}), backbone=self.backbone)
            self.key_encoder.projector = projector

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        lengths = true_lengths(views['query'], data_samples)
        self.key_encoder.update(self.progress.fraction)
        q = self.embed(self.backbone(views['query'], lengths), lengths)
        k = self.encode_key(views['key'], lengths)
        logits = contrast_logits(q, k, self.queue.negatives(), self.temperature, self.in_batch)
        self.queue.enqueue(k)
        return dict(loss=info_nce(logits), **self.monitors(q, k))

    @torch.no_grad()
    def encode_key(self, key_view: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Key (N, E) of the velocity of a view (N, C, T, V, M)."""
        return super().encode_key(self.velocity_of(key_view, num_frames), num_frames)

    def velocity_of(self, clip: Tensor, lengths: Tensor | None) -> Tensor:
        """Frame differences (N, C, T, V, M), zero at a clip's last frame and beyond."""
        velocity = to_stream(clip, 'motion', num_frames=lengths)
        if self.velocity == 'range':
            velocity = velocity / velocity.abs().amax((1, 2, 3, 4), keepdim=True).clamp_min(1e-6)
        return velocity


@MODELS.register_module()
class CRRLReconstruct(SelfSupervisedModel):
    """Sequence reconstructor: one decoder rebuilds a clip from its first state, and played backwards from its last.

    The encoder is bidirectional, so both of these states have seen the whole clip.

    Args:
        decoder_layers: Of the decoder, which is dropped after training.
    """
    view_names = ('clip',)
    variable_length = True

    def __init__(self, *args, decoder_layers: int = 2, **kwargs):
        super().__init__(*args, **kwargs)
        check_sequences(self)
        self.decoder = SequenceDecoder(self.backbone.out_channels, self.backbone.frame_channels, decoder_layers)

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        clip, lengths = views['clip'], true_lengths(views['clip'], data_samples)
        return self.reconstruction(clip, lengths, self.backbone(clip, lengths))

    def reconstruction(self, clip: Tensor, lengths: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Losses of both directions from the feature map (N, 1, D, T, 1)."""
        states = features[:, 0, :, :, 0]  # (N, D, T)
        rows, last = torch.arange(len(clip), device=clip.device), lengths - 1
        # Both directions in one pass through the decoder.
        ends = torch.cat([states[:, :, 0], states[rows, :, last]])
        forward, backward = self.decoder(ends, lengths.repeat(2)).chunk(2)
        frames = self.backbone.frames(clip)[:, :forward.shape[1]]
        return dict(loss_forward=masked_reconstruction(forward, frames, lengths),
                    loss_backward=masked_reconstruction(backward, reverse(frames, lengths), lengths))


@MODELS.register_module()
class CRRL(CRRLReconstruct):
    """Reconstruction and, by distillation, what a frozen motion learner knows.

    The teacher sees coordinates: what it knows of motion it has from having been contrasted with velocity.

    Args:
        distill_weight: lambda; the loss is both reconstructions + lambda * distillation.
        head: Arguments of the projector that predicts the teacher's feature; dropped after training.
        teacher_dropout: Leave the teacher's dropout on, as the released code does by never calling ``eval()``.
    """
    needs = ('teacher.',)  # a stage before this one has to bring them

    def __init__(self, *args, distill_weight: float = 0.1, head: dict | None = None, teacher_dropout: bool = False,
                 **kwargs):
        super().__init__(*args, **kwargs)
        self.distill_weight, self.teacher_dropout = distill_weight, teacher_dropout
        self.teacher = copy.deepcopy(self.backbone).requires_grad_(False)
        head = {'hidden_channels': 512, 'out_channels': self.feat_channels, **(head or {})}
        if head['out_channels'] != self.feat_channels:
            raise UserError(f'CRRL: head.out_channels is {head["out_channels"]}, but the teacher that it predicts has '
                            f'features of {self.feat_channels}: set it to that, or leave it out')
        self.head = Projector(self.feat_channels, **head)
        self.train()  # as one would expect of a new module, but for the teacher

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.teacher.train(mode and self.teacher_dropout)
        return self

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        clip, lengths = views['clip'], true_lengths(views['clip'], data_samples)
        features = self.backbone(clip, lengths)
        with torch.no_grad():
            target = self.pool(self.teacher(clip, lengths), lengths)
        predicted = self.head(self.pool(features, lengths))
        return dict(**self.reconstruction(clip, lengths, features),
                    loss_distill=self.distill_weight * distillation(predicted, target))
