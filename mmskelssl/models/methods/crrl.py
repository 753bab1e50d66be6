"""CRRL (Wang et al., IEEE TIP 2022): contrast of a clip with its velocity, fused with reconstruction.

Training has two stages. :class:`CRRLMotion`, the paper's contrastive motion learner, trains a sequence encoder to find
a clip's velocity among the velocities of other clips. :class:`CRRL` then trains a new encoder with two objectives. It
reconstructs the sequence forwards and backwards (:class:`CRRLReconstruct`, the sequence reconstructor), and it predicts
the features of the first encoder (the information fuser). Velocity is the plain frame difference,
v[t] = x[t + 1] - x[t]. The method uses no augmentation.
"""
import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmskelssl.augment import to_stream
from mmskelssl.errors import UserError
from mmskelssl.models.base import MomentumContrast, SelfSupervisedModel
from mmskelssl.models.checks import (
    check_arguments,
    check_choice,
    check_choices,
    check_integer,
    check_number,
    check_switch,
)
from mmskelssl.models.losses import contrast_logits, distillation, info_nce, masked_reconstruction
from mmskelssl.models.modules.decoder import SequenceDecoder
from mmskelssl.models.modules.heads import Projector
from mmskelssl.models.modules.momentum import MomentumEncoder
from mmskelssl.ops.grouped_gru import reverse
from mmskelssl.registry import MODELS
from mmskelssl.tracing import reads_values


def check_sequences(model: SelfSupervisedModel) -> None:
    """Raise unless the encoder returns one state per frame for clips of any length."""
    if not model.backbone.variable_length:
        raise UserError(f'{type(model).__name__} needs a sequence encoder with one state per frame, such as BiGRU; '
                        f'{type(model.backbone).__name__} does not qualify')


def true_lengths(clip: Tensor, data_samples: dict[str, Tensor]) -> Tensor:
    """Return the number of real frames (N,) of clips (N, C, T, V, M), or T if the batch has no ``num_frames``."""
    lengths = data_samples.get('num_frames')
    return torch.full((len(clip),), clip.shape[2], device=clip.device) if lengths is None else lengths


@MODELS.register_module()
class CRRLMotion(MomentumContrast):
    """Contrastive motion learner: the query encodes the coordinates of a clip, the key encodes its velocity.

    As published, both views are the clip itself. If they are augmented, each view is augmented independently.
    Anything that both share by chance, such as the same random rotation, would be the easiest cue for matching them.

    Args:
        key_head: ``fixed`` keeps the key's projector at its random initialisation, as in the released code.
            ``momentum`` lets it follow the query's projector, as in the other methods.
        velocity: ``difference`` uses the plain frame difference. ``range`` scales it per clip to a maximum absolute
            value of 1. The two encoders share their weights except for the momentum, so both inputs should have
            similar scales. The published preprocessing is unknown.
        **kwargs: Arguments of :class:`MomentumContrast`. The published queue is short: 64 keys, two batches.
    """
    view_names = ('query', 'key')
    contrast_loss = 'loss'
    variable_length = True
    takes_scores = False  # scores have no velocity

    def __init__(self, *args, key_head: str = 'fixed', velocity: str = 'difference', **kwargs):
        super().__init__(*args, **kwargs)
        check_sequences(self)
        check_choice('CRRLMotion: key_head', key_head, ('fixed', 'momentum'))
        check_choice('CRRLMotion: velocity', velocity, ('difference', 'range'))
        self.velocity = velocity
        if key_head == 'fixed':
            projector = copy.deepcopy(self.projector).requires_grad_(False)
            projector.reset_parameters()
            self.key_encoder = MomentumEncoder(**(kwargs.get('momentum') or {}), backbone=self.backbone)
            self.key_encoder.projector = projector

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        lengths = true_lengths(views['query'], data_samples)
        self.update_key()
        q = self.embed(self.backbone(views['query'], lengths), lengths)
        k = self.encode_key(views['key'], lengths)
        logits = contrast_logits(q, k, self.queue.negatives(), self.temperature, self.in_batch)
        self.queue.enqueue(k)
        return dict(loss=info_nce(logits), **self.monitors(q, k))

    @torch.no_grad()
    def encode_key(self, key_view: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Return the keys (N, E) of the velocity of a view (N, C, T, V, M)."""
        return super().encode_key(self.velocity_of(key_view, num_frames), num_frames)

    def velocity_of(self, clip: Tensor, lengths: Tensor | None) -> Tensor:
        """Return frame differences (N, C, T, V, M). They are zero from a clip's last frame on."""
        velocity = to_stream(clip, 'motion', num_frames=lengths)
        if self.velocity == 'range':
            velocity = velocity / velocity.abs().amax((1, 2, 3, 4), keepdim=True).clamp_min(1e-6)
        return velocity


@MODELS.register_module()
class CRRLReconstruct(SelfSupervisedModel):
    """Sequence reconstructor: one decoder reconstructs a clip from its first state and the reversed clip from its last.

    The encoder is bidirectional, so both states depend on the whole clip.

    Args:
        decoder_layers: Number of layers of the decoder. The decoder is discarded after training.
        directions: ``forward`` reconstructs the clip, ``backward`` the reversed clip. The paper trains both.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    view_names = ('clip',)
    variable_length = True

    def __init__(self, *args, decoder_layers: int = 2, directions: str | Sequence[str] = ('forward', 'backward'),
                 **kwargs):
        super().__init__(*args, **kwargs)
        check_sequences(self)
        self.directions = check_choices(f'{type(self).__name__}: directions', directions, ('forward', 'backward'))
        check_integer(f'{type(self).__name__}: decoder_layers', decoder_layers)
        self.decoder = SequenceDecoder(self.backbone.out_channels, self.backbone.frame_channels, decoder_layers)

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Tensor]) -> dict[str, Tensor]:
        clip, lengths = views['clip'], true_lengths(views['clip'], data_samples)
        return self.reconstruction(clip, lengths, self.backbone(clip, lengths))

    def reconstruction(self, clip: Tensor, lengths: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Return the losses of the directions from the feature map (N, 1, D, T, 1)."""
        states = features[:, 0, :, :, 0]  # (N, D, T)
        rows, last = torch.arange(len(clip), device=clip.device), lengths - 1
        ends = dict(forward=states[:, :, 0], backward=states[rows, :, last])
        count = len(self.directions)  # decoded in one pass
        longest = None if reads_values(clip) else clip.shape[2]  # a device decodes all frames, so as not to wait
        decoded = self.decoder(torch.cat([ends[name] for name in self.directions]), lengths.repeat(count),
                               longest).chunk(count)
        frames = self.backbone.frames(clip)[:, :decoded[0].shape[1]]
        targets = dict(forward=frames, backward=reverse(frames, lengths))
        return {f'loss_{name}': masked_reconstruction(made, targets[name], lengths)
                for name, made in zip(self.directions, decoded, strict=True)}


@MODELS.register_module()
class CRRL(CRRLReconstruct):
    """Reconstruction combined with distillation from a frozen motion learner.

    The teacher's input is coordinates. It has learned about motion because its training contrasted them with velocity.

    Args:
        distill_weight: Weight lambda of the distillation loss. The total loss is both reconstruction losses
            + lambda * distillation.
        head: Arguments of the projector that predicts the teacher's feature. It is discarded after training.
        fusion: ``head`` compares the projector's prediction with the teacher's feature, as published. ``direct``
            compares the student's feature itself and has no projector.
        teacher_dropout: Keep the teacher's dropout active, as in the released code, which never calls ``eval()``.
        **kwargs: Arguments of :class:`CRRLReconstruct`.
    """
    needs = ('teacher.',)  # weights that an earlier stage must provide

    def __init__(self, *args, distill_weight: float = 0.1, head: dict | None = None, fusion: str = 'head',
                 teacher_dropout: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        check_number('CRRL: distill_weight', distill_weight, 0, instead='; 0 is CRRLReconstruct')
        check_choice('CRRL: fusion', fusion, ('head', 'direct'))
        check_switch('CRRL: teacher_dropout', teacher_dropout)
        self.distill_weight, self.teacher_dropout = distill_weight, teacher_dropout
        self.teacher = copy.deepcopy(self.backbone).requires_grad_(False)
        if fusion == 'direct':
            self.report_unused("fusion is 'direct'", head=head)
            self.head: nn.Module = nn.Identity()
        else:
            head = {'hidden_channels': 512, 'out_channels': self.feat_channels,
                    **check_arguments('head', head, 'dict(hidden_channels=512)')}
            for name in ('hidden_channels', 'out_channels'):
                check_integer(f'CRRL: head.{name}', head[name])
            if head['out_channels'] != self.feat_channels:
                raise UserError(f'CRRL: head.out_channels is {head["out_channels"]}, but the teacher has '
                                f'{self.feat_channels}-dimensional features: set it to {self.feat_channels}, or omit '
                                'it')
            self.head = Projector(self.feat_channels, **head)
        self.train()  # a new module starts in training mode; this call sets the teacher's mode as well

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
