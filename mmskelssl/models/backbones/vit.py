"""A transformer over the joints of a body in short segments of time."""
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.layouts import CANONICAL, SkeletonLayout
from mmskelssl.models.backbones.base import SkeletonBackbone
from mmskelssl.models.checks import check_choice, check_integer, check_number
from mmskelssl.ops.attention import attention
from mmskelssl.ops.rotary import heads_of
from mmskelssl.registry import MODELS
from mmskelssl.tracing import reads_values

# Arguments of the named sizes. ``base`` is the encoder of MAMP, STARS and SLiM, with 6.4 million parameters.
SIZES: Mapping[str, Mapping[str, int]] = dict(
    tiny=dict(channels=64, depth=4, heads=4), small=dict(channels=128, depth=4, heads=4),
    base=dict(channels=256, depth=8, heads=8))


class Attention(nn.Module):
    """Multi-head self-attention with rotary time (RoFormer, Su et al., 2021)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], visible: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: (P, L, D) tokens.
            turn: Cosine and sine, each (P or 1, 1, L, D / heads), of the rotations of queries and keys.
            visible: (P, 1, 1, L) bool, the tokens that others may attend to. None stands for all.
        """
        q, k, v = heads_of(x, self.qkv, self.heads, turn, rotated=2)
        return self.out(attention(q, k, v, visible).transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """An MLP with a gated hidden layer (Shazeer, 2020).

    The hidden layer has two thirds of the given width, rounded up to a multiple of 8 as in DINOv2, so that the number
    of weights is about that of an MLP of this width.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        width = -(-int(hidden * 2 / 3) // 8) * 8
        self.inner, self.outer = nn.Linear(channels, 2 * width), nn.Linear(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.inner(x).chunk(2, -1)
        return self.outer(F.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, channels: int, heads: int, mlp_ratio: float, mlp: str = 'gelu'):
        super().__init__()
        hidden = int(channels * mlp_ratio)
        self.norm1, self.norm2 = nn.LayerNorm(channels, 1e-6), nn.LayerNorm(channels, 1e-6)
        self.attention = Attention(channels, heads)
        self.mlp = SwiGLU(channels, hidden) if mlp == 'swiglu' else nn.Sequential(
            nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], visible: Tensor | None) -> Tensor:
        x = x + self.attention(self.norm1(x), turn, visible)
        return x + self.mlp(self.norm2(x))


def key_mask(valid: Tensor, extra: int = 0) -> Tensor | None:
    """Return the mask of attention, (P, 1, 1, extra + L), for tokens of which ``valid`` (P, L) have information.

    The ``extra`` tokens before them always have. The result is None if that is known to be all, which saves time. A
    person without any information attends to everything, because attention to nothing would be undefined.
    """
    if reads_values(valid) and valid.all():
        return None
    return F.pad(valid | ~valid.any(1, keepdim=True), (extra, 0), value=True)[:, None, None]


def rotations(times: Tensor, channels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, each (P, 1, L, channels), of the rotation at each time (P, L)."""
    exact = torch.promote_types(dtype, torch.float32)
    steps = torch.arange(0, channels, 2, device=times.device, dtype=exact) / channels
    angles = (times.unsqueeze(-1) * 10_000. ** -steps).repeat(1, 1, 2).unsqueeze(1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def joint_rows(layout: SkeletonLayout) -> Tensor:
    """Return (V, rows), the shares of each joint in the rows of a table of canonical joint names.

    A joint with a canonical name is one row. Another joint is the mean of the nearest named joints in the layout's
    tree, which may be one above and several below it. A layout without any canonical name has rows of its own.
    """
    names = {joint: CANONICAL.index(name) for name, joint in layout.named.items()}
    if not names:
        return torch.eye(layout.num_joints)
    neighbours: list[set[int]] = [set() for _ in range(layout.num_joints)]
    for child, parent in layout.bones:
        neighbours[child].add(parent)
        neighbours[parent].add(child)
    shares = torch.zeros(layout.num_joints, len(CANONICAL))
    for joint in range(layout.num_joints):
        reached, ring = {joint}, {joint}
        while not ring & names.keys():
            ring = set().union(*(neighbours[j] for j in ring)) - reached
            reached |= ring
        nearest = ring & names.keys()
        for j in nearest:
            shares[joint, names[j]] = 1 / len(nearest)
    return shares


@MODELS.register_module()
class SkeletonViT(SkeletonBackbone):
    """A vision transformer whose tokens are joints over a few frames, for any layout and any length.

    This is the encoder that MAMP (Mao et al., ICCV 2023) and its successors share, with rotary time instead of a
    learnt table, which allows clips of any length, and with a table of positions indexed by canonical joint names, so
    that one set of weights fits every layout. Persons are encoded separately. What contains no information is
    excluded from attention and has zero features: absent persons, segments of time in which a person is absent, and
    joints that are zero throughout a clip, such as those that a store of a pool lacks.

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        size: ``tiny``, ``small`` or ``base``, see :data:`SIZES`. The three arguments that follow take precedence.
        channels: Width D.
        depth: Number of blocks.
        heads: Number of attention heads.
        segment: Frames of a token.
        mlp_ratio: Width of the hidden layer of a block, relative to D.
        mlp: ``gelu`` or ``swiglu``, the kind of MLP in each block.
        registers: Number of additional learnt tokens that store global information (Darcet et al., ICLR 2024).
        cls_blocks: Number of last blocks whose class token is part of the features. If it is not 0, there is a class
            token, and each cell of the feature map consists of the class tokens of these blocks, which are the same in
            all cells of a person, followed by the cell's own token. The pooled feature is then the class tokens
            followed by the mean token, and ``out_channels`` is (1 + ``cls_blocks``) * D.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, size: str = 'small',
                 channels: int | None = None, depth: int | None = None, heads: int | None = None, segment: int = 4,
                 mlp_ratio: float = 4., mlp: str = 'gelu', registers: int = 0, cls_blocks: int = 0,
                 init_cfg: dict | None = None):
        super().__init__(layout, in_channels, init_cfg)
        check_choice('backbone.size', size, [*SIZES])
        check_choice('backbone.mlp', mlp, ('gelu', 'swiglu'))
        channels, depth, heads = (SIZES[size][name] if value is None else value for name, value in
                                  (('channels', channels), ('depth', depth), ('heads', heads)))
        for name, value, least in (('channels', channels, 1), ('depth', depth, 1), ('heads', heads, 1),
                                   ('segment', segment, 1), ('registers', registers, 0), ('cls_blocks', cls_blocks, 0)):
            check_integer(f'backbone.{name}', value, least)
        if cls_blocks > depth:
            raise UserError(f'backbone.cls_blocks is {cls_blocks}: it must be at most backbone.depth, which is {depth}')
        check_number('backbone.mlp_ratio', mlp_ratio, above=0)
        if channels % (2 * heads):
            raise UserError(f'backbone.channels is {channels}: it must be a multiple of 2 * heads = {2 * heads}')
        self.channels, self.heads, self.segment, self.cls_blocks = channels, heads, segment, cls_blocks
        self.out_channels = channels * (1 + cls_blocks)
        self.patch = nn.Linear(in_channels * segment, channels)
        self.register_buffer('rows', joint_rows(self.layout), persistent=False)
        self.joints = nn.Parameter(torch.empty(self.rows.shape[1], channels))
        self.registers = nn.Parameter(torch.empty(registers, channels))
        self.cls = nn.Parameter(torch.empty(1, channels)) if cls_blocks else None
        self.blocks = nn.ModuleList(Block(channels, heads, mlp_ratio, mlp) for _ in range(depth))
        self.norm = nn.LayerNorm(channels, 1e-6)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialise the weights: linear layers and tables from N(0, 0.02), truncated, and zero biases."""
        self.apply(self.init_linear)
        for table in (self.joints, self.registers, self.cls):
            if table is not None:
                nn.init.trunc_normal_(table, std=.02)

    @staticmethod
    def init_linear(module: nn.Module) -> None:
        """Reinitialise a linear layer, for use with ``Module.apply``."""
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=.02)
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: Unused, because padded frames are zero and are recognised by that.

        Returns:
            (N, M, out_channels, T', V) feature map with T' = ceil(T / segment).
        """
        n, m, v = x.shape[0], x.shape[4], x.shape[3]  # not len(), which would fix the batch of an export
        patches, valid = self.patches(x)
        if m > 1 and reads_values(x):  # absent persons cost nothing
            rows = valid.any(1).nonzero().squeeze(1)
            encoded = self._cells(patches[rows], valid[rows])
            tokens = encoded.new_zeros(n * m, *encoded.shape[1:]).index_copy(0, rows, encoded)
        else:
            tokens = self._cells(patches, valid)
        return tokens.view(n, m, -1, v, self.out_channels).permute(0, 1, 4, 2, 3)

    def _cells(self, patches: Tensor, valid: Tensor) -> Tensor:
        """Encode patches as the cells (P, L, out_channels) of the feature map."""
        tokens, classes = self.read(self.embed(patches), valid)
        if not self.cls_blocks:
            return tokens
        classes = (classes * valid.any(1, keepdim=True)).unsqueeze(1).expand(-1, tokens.shape[1], -1)
        return torch.cat([classes, tokens], 2)

    def patches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Cut clips (N, C, T, V, M) into patches (P, L, C * segment), for P = N * M persons and L = T' * V tokens.

        The second result, (P, L) bool, is true for tokens with information.
        """
        n, c, t, v, m = x.shape
        if (c, v) != (self.in_channels, self.layout.num_joints):
            raise UserError(f'the clips have {v} joints of {c} channels, but the backbone is built for layout '
                            f'{self.layout.name!r} ({self.layout.num_joints} joints) of {self.in_channels} channels: '
                            'set backbone.layout and backbone.in_channels to match the store')
        x = F.pad(x, (0, 0, 0, 0, 0, -t % self.segment))
        x = x.unflatten(2, (-1, self.segment)).permute(0, 5, 2, 4, 1, 3).flatten(4)  # (N, M, T', V, C * segment)
        shown = (x != 0).any(4)
        valid = shown.any(3, keepdim=True) & shown.any(2, keepdim=True)
        return x.reshape(n * m, -1, c * self.segment), valid.reshape(n * m, -1)

    def embed(self, patches: Tensor, masked: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Embed patches (P, L, C * segment) as tokens (P, L, D), which state their joint but not yet their time.

        Args:
            patches: (P, L, C * segment), complete and ordered by time, then by joint.
            masked: A mask (P, L) and the vector (D,) that replaces the content of the tokens where it is true.
        """
        tokens, joints = self.patch(patches), self.rows.to(self.joints) @ self.joints
        if masked is not None:
            tokens = torch.where(masked[0].unsqueeze(2), masked[1].to(tokens), tokens)
        return (tokens.unflatten(1, (-1, len(joints))) + joints).flatten(1, 2)

    def times(self, length: int) -> Tensor:
        """Return (1, L), the index in time of each of L tokens."""
        joints = self.layout.num_joints
        return torch.arange(length // joints, device=self.rows.device).repeat_interleave(joints).unsqueeze(0)

    def encode(self, tokens: Tensor, valid: Tensor, times: Tensor | None = None) -> Tensor:
        """Apply the blocks and the final norm.

        Args:
            tokens: (P, L, D). Any tokens of a clip, in any order, if ``times`` is given.
            valid: (P, L) bool, the tokens with information. The others are not attended to, and their result is zero.
            times: (P, L) or (1, L) index in time of each token. By default, tokens are complete and ordered by time,
                then by joint.

        Returns:
            (P, L, D).
        """
        return self.read(tokens, valid, times)[0]

    def read(self, tokens: Tensor, valid: Tensor, times: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Like :meth:`encode`, but also return the class tokens.

        Returns:
            Tokens (P, L, D), and the class tokens of the last ``cls_blocks`` blocks (P, ``cls_blocks`` * D), in the
            order of the blocks. The final norm has been applied to all of them.
        """
        times = self.times(tokens.shape[1]) if times is None else times
        added = self.registers if self.cls is None else torch.cat([self.cls, self.registers])
        extra = len(added)
        x = torch.cat([added.expand(tokens.shape[0], -1, -1).to(tokens), tokens], 1)
        # The added tokens have the angle 0, that is, no time.
        turn = rotations(F.pad(times, (extra, 0)), self.channels // self.heads, x.dtype)
        visible = key_mask(valid, extra)
        classes = [x.new_zeros(x.shape[0], 0)]
        for i, block in enumerate(self.blocks):
            x = block(x, turn, visible)
            if i >= len(self.blocks) - self.cls_blocks:
                classes.append(self.norm(x[:, 0]))
        return self.norm(x[:, extra:]) * valid.unsqueeze(2), torch.cat(classes, 1)
