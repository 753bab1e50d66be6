"""MAMP (Mao et al., ICCV 2023): masked motion prediction."""
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.backbones.vit import Block, key_mask, rotations
from mmskelssl.models.base import SelfSupervisedModel
from mmskelssl.models.checks import check_choice, check_integer, check_number, check_switch
from mmskelssl.models.modules.cross_attention import CrossBlock
from mmskelssl.models.modules.masking import draw_visible, gumbel, motion_weights
from mmskelssl.ops.precision import full_precision
from mmskelssl.registry import MODELS
from mmskelssl.tracing import reads_values


@MODELS.register_module()
class MAMP(SelfSupervisedModel):
    """Encode the few visible tokens of a clip and predict the motion of the masked ones.

    The encoder must be a :class:`~mmskelssl.models.backbones.vit.SkeletonViT`. The decoder has rotary time and a table
    of joints, like the encoder, where MAMP has learnt tables. Absent persons are not encoded, and tokens without
    information are neither visible nor predicted.

    Features of a masked model form poor clusters: the published accuracies on NTU60 are 84.9 (linear) and 62 (1-NN).
    A stage of :class:`~mmskelssl.models.methods.nn_tuning.NNTuning` improves them.

    Args:
        mask_ratio: Share of the tokens that are masked.
        tau: Temperature of motion-aware masking, see :func:`draw_visible`. 0 masks at random. MAMP uses 0.8 for NTU60
            and PKU-MMD, and 0.75 for NTU120.
        target: ``motion`` predicts the difference to the next frame, ``position`` the coordinates themselves. The
            latter with ``tau=0`` is SkeletonMAE (Wu et al., ICMEW 2023).
        standardise: Standardise each target token by its own mean and unbiased variance.
        decoder: ``self`` attends from all tokens to all tokens, as in the paper. ``cross`` is cheaper: one query for
            each joint and span of time attends to the encoded visible tokens only (AMR, CVPR 2026, without its weights
            by motion).
        decoder_span: Number of tokens in time that a query of ``cross`` predicts.
        decoder_channels, decoder_depth, decoder_heads: Size of the decoder. MAMP uses 256, 3 (5 for NTU120 and
            PKU-MMD) and 8.
        **kwargs: Arguments of :class:`SelfSupervisedModel`.
    """
    view_names = ('clip',)

    def __init__(self, *args, mask_ratio: float = 0.9, tau: float = 0.8, target: str = 'motion',
                 standardise: bool = True, decoder_channels: int = 256, decoder_depth: int = 3, decoder_heads: int = 8,
                 decoder: str = 'self', decoder_span: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        check_number('MAMP: mask_ratio', mask_ratio, above=0, below=1)
        check_number('MAMP: tau', tau, 0)
        check_choice('MAMP: target', target, ('motion', 'position'))
        check_switch('MAMP: standardise', standardise)
        check_choice('MAMP: decoder', decoder, ('self', 'cross'))
        for name, size in (('channels', decoder_channels), ('depth', decoder_depth), ('heads', decoder_heads),
                           ('span', decoder_span)):
            check_integer(f'MAMP: decoder_{name}', size)
        if not hasattr(self.backbone, 'patches'):
            raise UserError(f'MAMP masks tokens, which {type(self.backbone).__name__} does not have: use SkeletonViT')
        if decoder_channels % (2 * decoder_heads):
            raise UserError(f'MAMP: decoder_channels is {decoder_channels}; it must be a multiple of '
                            f'2 * decoder_heads = {2 * decoder_heads}')
        if decoder == 'self' and decoder_span != 1:
            raise UserError(f"MAMP: decoder_span is {decoder_span}, but decoder='self' predicts each token by itself: "
                            "set decoder='cross', or leave out decoder_span")
        block = Block if decoder == 'self' else CrossBlock
        self.cross, self.span = decoder == 'cross', decoder_span
        self.mask_ratio, self.tau, self.target, self.standardise = mask_ratio, tau, target, standardise
        self.head_channels = decoder_channels // decoder_heads
        self.bridge = nn.Linear(self.backbone.channels, decoder_channels)
        self.mask_token = nn.Parameter(torch.empty(decoder_channels))
        self.decoder_joints = nn.Parameter(torch.empty(self.backbone.joints.shape[0], decoder_channels))
        self.decoder = nn.ModuleList(block(decoder_channels, decoder_heads, 4.) for _ in range(decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder_channels, 1e-6)
        self.head = nn.Linear(decoder_channels, self.backbone.in_channels * self.backbone.segment * decoder_span)
        for module in (self.bridge, self.decoder, self.head):
            module.apply(self.backbone.init_linear)
        for table in (self.mask_token, self.decoder_joints):
            nn.init.trunc_normal_(table, std=.02)

    def draw(self, views: dict[str, Tensor]) -> dict[str, Any]:
        """Draw the noise that decides which tokens stay visible, (N * M, L) for as many persons as may be present."""
        n, _, t, v, m = views['clip'].shape
        tokens = -(-t // self.backbone.segment) * v
        return dict(noise=gumbel(n * m, tokens, views['clip'], self.data_preprocessor.generator(views['clip'].device)))

    def loss(self, views: dict[str, Tensor], data_samples: dict[str, Any]) -> dict[str, Tensor]:
        noise = (data_samples.get('draws') or self.draw(views))['noise']
        clip, encoder = views['clip'], self.backbone
        patches, valid = encoder.patches(clip)
        target = patches if self.target == 'position' else encoder.patches(motion(clip))[0]
        if clip.shape[4] > 1 and reads_values(clip):  # absent persons have no tokens to predict, and then cost nothing
            present = valid.any(1).nonzero().squeeze(1)
            patches, valid, target = patches[present], valid[present], target[present]

        length, times = patches.shape[1], encoder.times(patches.shape[1]).expand(len(patches), -1)
        weights = motion_weights(patches.unflatten(1, (-1, encoder.layout.num_joints))).flatten(1)
        keep = max(round(length * (1 - self.mask_ratio)), 1)
        visible = draw_visible(weights, valid, keep, self.tau, noise[:len(valid)])

        tokens = encoder.embed(patches)
        encoded = encoder.encode(take(tokens, visible), valid.gather(1, visible), times.gather(1, visible))
        predicted = (self.cross_decode if self.cross else self.decode)(encoded, visible, valid, times)
        hidden = valid.scatter(1, visible, False)
        share = hidden.sum() / (valid.any(1).sum() * length).clamp(min=1)  # of the tokens of present persons
        return dict(loss=token_error(predicted, target, hidden, self.standardise), hidden=share)

    def decode(self, encoded: Tensor, visible: Tensor, valid: Tensor, times: Tensor) -> Tensor:
        """Predict all tokens (P, L, C * l) from the encoded visible ones (P, K, D)."""
        known = self.bridge(encoded)
        tokens = self.mask_token.to(known).expand(len(valid), valid.shape[1], -1).scatter(
            1, visible.unsqueeze(2).expand_as(known), known)
        joints = self.backbone.rows.to(known) @ self.decoder_joints.to(known)
        tokens = (tokens.unflatten(1, (-1, len(joints))) + joints).flatten(1, 2)
        turn = rotations(times, self.head_channels, tokens.dtype)
        visible_keys = key_mask(valid)
        for block in self.decoder:
            tokens = block(tokens, turn, visible_keys)
        return self.head(self.decoder_norm(tokens))

    def cross_decode(self, encoded: Tensor, visible: Tensor, valid: Tensor, times: Tensor) -> Tensor:
        """Predict the same from queries that attend to the visible tokens only, one for ``decoder_span`` tokens."""
        known, span, channels = self.bridge(encoded), self.span, self.head_channels
        joints = self.backbone.rows.to(known) @ self.decoder_joints.to(known)
        spans = -(-(valid.shape[1] // len(joints)) // span)
        tokens = (self.mask_token.to(known) + joints).repeat(spans, 1).expand(len(valid), -1, -1)
        middle = torch.arange(spans, device=valid.device).repeat_interleave(len(joints)) * span + (span - 1) / 2
        turn = rotations(middle.unsqueeze(0), channels, known.dtype)
        known_turn = rotations(times.gather(1, visible), channels, known.dtype)
        attended = key_mask(valid.gather(1, visible))
        for block in self.decoder:
            tokens = block(tokens, turn, known, known_turn, attended)
        made = self.head(self.decoder_norm(tokens)).unflatten(1, (spans, -1)).unflatten(3, (span, -1))
        return made.transpose(2, 3).flatten(1, 3)[:, :valid.shape[1]]


def take(tokens: Tensor, rows: Tensor) -> Tensor:
    """Select rows (P, K) of tokens (P, L, D)."""
    return tokens.gather(1, rows.unsqueeze(2).expand(-1, -1, tokens.shape[2]))


def motion(clip: Tensor) -> Tensor:
    """Return the difference of each frame of a clip (N, C, T, V, M) to the next. That of the last frame is zero."""
    return F.pad(clip.diff(dim=2), (0, 0, 0, 0, 0, 1))


@full_precision
def token_error(prediction: Tensor, target: Tensor, hidden: Tensor, standardise: bool = True) -> Tensor:
    """Compute the squared error of predicted tokens, averaged over their numbers and over the hidden tokens.

    Args:
        prediction, target: (P, L, C * l).
        hidden: (P, L) bool, the tokens that count.
        standardise: Standardise each target token by its own mean and unbiased variance (plus 1e-6).
    """
    if standardise and target.shape[2] > 1:
        target = (target - target.mean(2, keepdim=True)) * (target.var(2, keepdim=True) + 1e-6).rsqrt()
    error = (prediction - target).square().mean(2)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)
