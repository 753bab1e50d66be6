"""MAMP's masked motion prediction (docs/methods.md 6.2): every person of a clip, attention as softmax of a product."""
import copy
import math

import torch
from torch import Tensor, nn


def rotate(x: Tensor, times: Tensor) -> Tensor:
    """Rotate the halves of (P, H, L, d) by the angles of times (P, L)."""
    d = x.shape[-1]
    angles = times[:, None, :, None] * 10_000. ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
    a, b = x[..., :d // 2], x[..., d // 2:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def block(layer: nn.Module, x: Tensor, times: Tensor, valid: Tensor) -> Tensor:
    """A pre-norm block on tokens (P, L, D), of which only the valid ones are attended to."""
    p, length, channels = x.shape
    heads = layer.attention.heads
    q, k, v = layer.attention.qkv(layer.norm1(x)).reshape(p, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    similarity = rotate(q, times) @ rotate(k, times).transpose(2, 3) / math.sqrt(channels // heads)
    weights = similarity.masked_fill(~valid[:, None, None], -torch.inf).softmax(3)
    x = x + layer.attention.out((weights @ v).transpose(1, 2).reshape(p, length, channels))
    return x + layer.mlp(layer.norm2(x))


class PlainMAMP(nn.Module):
    """The step of a model, with copies of its weights. The backbone has no registers and no class token."""

    def __init__(self, model):
        super().__init__()
        for name in ('backbone', 'bridge', 'decoder', 'decoder_norm', 'head'):
            setattr(self, name, copy.deepcopy(getattr(model, name)))
        self.mask_token = nn.Parameter(model.mask_token.detach().clone())
        self.decoder_joints = nn.Parameter(model.decoder_joints.detach().clone())
        self.segment, self.mask_ratio, self.tau = model.backbone.segment, model.mask_ratio, model.tau

    def cut(self, clip: Tensor) -> Tensor:
        """(N, C, T, V, M) -> (N * M, L, C * l)."""
        n, c, t, v, m = clip.shape
        x = clip.permute(0, 4, 2, 3, 1).reshape(n * m, t // self.segment, self.segment, v, c)
        return x.permute(0, 1, 3, 4, 2).reshape(n * m, -1, c * self.segment)

    def forward(self, clip: Tensor, noise: Tensor) -> Tensor:
        """Loss of clips (N, C, T, V, M), T a multiple of the segment. ``noise`` is that of the present persons."""
        v, patches = clip.shape[3], self.cut(clip)
        present = (patches != 0).flatten(1).any(1)
        valid = present[:, None].expand(patches.shape[:2])
        target = self.cut(torch.cat([clip[:, :, 1:] - clip[:, :, :-1], torch.zeros_like(clip[:, :, :1])], 2))
        target = (target - target.mean(2, keepdim=True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()

        steps = patches.unflatten(1, (-1, v))
        change = (steps[:, 1:] - steps[:, :-1]).abs().mean(3)
        weights = torch.cat([change[:, :1], change], 1).flatten(1)
        score = torch.zeros_like(weights)
        score[present] = weights[present] / (weights[present].amax(1, keepdim=True) * self.tau) + noise
        length = patches.shape[1]
        visible = score.argsort(1)[:, :max(round(length * (1 - self.mask_ratio)), 1)]
        times = (torch.arange(length) // v).expand(len(patches), -1)

        joints = self.backbone.rows.to(patches) @ self.backbone.joints
        tokens = self.backbone.patch(patches) + joints.repeat(length // v, 1)
        rows = torch.arange(len(tokens))[:, None]
        x, everything = tokens[rows, visible], torch.ones_like(visible, dtype=torch.bool)
        for layer in self.backbone.blocks:
            x = block(layer, x, times[rows, visible], everything)
        known = self.bridge(self.backbone.norm(x))

        x = self.mask_token.expand(*valid.shape, -1).clone()
        x[rows, visible] = known
        x = x + (self.backbone.rows.to(patches) @ self.decoder_joints).repeat(length // v, 1)
        for layer in self.decoder:
            x = block(layer, x, times, torch.ones_like(valid))
        error = (self.head(self.decoder_norm(x)) - target).square().mean(2)
        hidden = valid.clone()
        hidden[rows, visible] = False
        return error[hidden].mean()


def cross_decode(model, encoded: Tensor, visible: Tensor, valid: Tensor) -> Tensor:
    """The cheap decoder of a model, person by person and query by query: (P, K, D) -> (P, L, C * l)."""
    joints, heads = model.backbone.layout.num_joints, model.decoder[0].heads
    tables, span = model.backbone.rows.to(encoded) @ model.decoder_joints, model.span
    steps = valid.shape[1] // joints
    persons = []
    for tokens, places, seen in zip(model.bridge(encoded), visible, valid.gather(1, visible), strict=True):
        known, times = (tokens[seen], places[seen] // joints) if seen.any() else (tokens, places // joints)
        made = torch.zeros(steps, joints, model.head.out_features // span).to(encoded)
        for start in range(0, steps, span):
            for joint in range(joints):
                x = model.mask_token + tables[joint]
                for layer in model.decoder:
                    q = turned(layer.query(layer.norm1(x))[None], torch.tensor([start + (span - 1) / 2]).to(x), heads)
                    k, v = layer.known(layer.norm_known(known)).chunk(2, 1)
                    k, v = turned(k, times.to(x), heads), v.view(len(v), heads, -1).transpose(0, 1)
                    weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(2)
                    x = x + layer.out((weights @ v).flatten())
                    x = x + layer.mlp(layer.norm2(x))
                numbers = model.head(model.decoder_norm(x)).view(span, -1)
                made[start:start + span, joint] = numbers[:steps - start]
        persons.append(made.flatten(0, 1))
    return torch.stack(persons)


def turned(x: Tensor, times: Tensor, heads: int) -> Tensor:
    """Split tokens (L, D) into heads (H, L, d), and rotate them by their times (L,)."""
    return rotate(x.view(1, len(x), heads, -1).transpose(1, 2), times[None])[0]
