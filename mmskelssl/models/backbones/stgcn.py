"""ST-GCN (Yan et al., AAAI 2018) in the width and depth used by the contrastive methods."""
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.adjacency import build_adjacency
from mmskelssl.models.backbones.base import SkeletonBackbone
from mmskelssl.models.checks import check_choice, check_integer, check_number, check_switch
from mmskelssl.models.modules.init import normal_init
from mmskelssl.models.modules.norm import BatchNorm1d, apply_to_rows, build_norm, norm_of_shown
from mmskelssl.ops.absent import encode_persons, encode_present
from mmskelssl.ops.batch_norm import can_fold, conv_norm
from mmskelssl.ops.dropout import Dropout
from mmskelssl.ops.graph_conv import graph_conv
from mmskelssl.ops.temporal_conv import TemporalConv, temporal_conv
from mmskelssl.registry import MODELS
from mmskelssl.tracing import exporting


class GraphConv(nn.Module):
    """Spatial graph convolution: the sum of one 1x1 convolution per slice of the adjacency."""

    def __init__(self, in_channels: int, out_channels: int, slices: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * slices, 1)

    def forward(self, x: Tensor, adjacency: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Apply the convolution, with ``norm`` folded into it if given.

        Args:
            x: (B, C, T, V).
            adjacency: (K, V, V).
            norm: Batch norm in eval mode that follows the convolution.

        Returns:
            (B, C', T, V), channels last in memory.
        """
        assert self.conv.bias is not None  # nn.Conv2d has one by default
        return graph_conv(x, adjacency, self.conv.weight, self.conv.bias, norm)


def every_nth_frame(x: Tensor, n: int) -> Tensor:
    """Return frames 0, n, 2n, ... of maps (B, C, T, V), channels last in memory, like its gradient.

    A slice of the frames alone is in no order that a convolution takes: its result and every gradient before it would
    then have the channels first, and each operation that mixes both orders takes several times as long.
    """
    if exporting():  # the strides would become conditions on the length
        return x[:, :, ::n]
    return x.permute(0, 2, 3, 1)[:, ::n].contiguous().permute(0, 3, 1, 2)


class Shortcut(nn.Sequential):
    """Residual path of a block that changes width or length: every ``stride``-th frame, 1x1 convolution, BN.

    Frames are selected before the convolution, which then has no stride. The result is the same. It avoids oneDNN's
    backward pass of a strided 1x1 convolution, which crashes with few channels, channels last, and several threads
    (torch 2.13 on CPU).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: nn.Module):
        super().__init__(nn.Conv2d(in_channels, out_channels, 1), norm)
        self.stride = stride

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        return apply_to_rows(self[1], self[0](every_nth_frame(x, self.stride)), rows)


class STGCNBlock(nn.Module):
    """Graph convolution, BN, ReLU, 9x1 temporal convolution, BN, dropout, residual addition, ReLU."""

    def __init__(self, in_channels, out_channels, slices, stride=1, dropout=0.5, residual=True, norm_cfg=None):
        super().__init__()
        norm_cfg = norm_cfg or dict(type='BN')

        def norm() -> nn.Module:
            return build_norm(norm_cfg, out_channels)

        self.gcn = GraphConv(in_channels, out_channels, slices)
        self.tcn = nn.Sequential(
            norm(), nn.ReLU(inplace=True), TemporalConv(out_channels, 9, stride), norm(), Dropout(dropout))
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = Shortcut(in_channels, out_channels, stride, norm())

        norms = [self.tcn[0], self.tcn[3], *([self.residual[1]] if isinstance(self.residual, Shortcut) else [])]
        self.foldable = all(map(can_fold, norms))

    def forward(self, x: Tensor, adjacency: Tensor, rows: Tensor | None = None) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V). Batch statistics are those of ``rows`` (B,), if given."""
        if self.foldable and not (self.training or torch.is_grad_enabled() or exporting()):
            return self.folded(x, adjacency)
        out = self.gcn(x, adjacency)
        for layer in self.tcn:
            out = apply_to_rows(layer, out, rows)
        if self.residual is not None:
            out = out.add_(self.residual(x, rows) if isinstance(self.residual, Shortcut) else x)
        return F.relu_(out)

    def folded(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Compute the same result in eval mode, with each batch norm folded into the convolution before it."""
        norm, _, conv, last, _ = self.tcn
        out = self.gcn(x, adjacency, norm).relu_()
        out = conv_norm(out, conv, last, partial(temporal_conv, stride=conv.stride[0], padding=conv.padding[0]))
        if isinstance(self.residual, Shortcut):
            x = conv_norm(every_nth_frame(x, self.residual.stride), *self.residual)
        return (out if self.residual is None else out.add_(x)).relu_()


@MODELS.register_module()
class STGCN(SkeletonBackbone):
    """Ten ST-GCN blocks for any skeleton layout.

    Widths, strides and initialisation follow the contrastive methods (docs/methods.md 0.4). Persons are merged into
    the batch axis.

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Number of coordinates of a joint.
        hidden_channels: Width of the first blocks, 16 in AimCLR and ActCLR, 64 in SkeAttnCLR.
        out_channels: Width of the last block, the feature dimension.
        adjacency: ``stgcn``, ``agcn`` or ``partition``, see :mod:`.adjacency`.
        dropout: Dropout rate in all blocks except the first.
        absent: Treatment of absent persons (all zeros). ``encode`` encodes them like any other person, as published.
            ``skip`` sets their maps to zero and excludes them from the batch statistics. It saves computation if most
            clips show one person.
        norm_cfg: Config of the norm layer, such as ``dict(type='GN', num_groups=2)``. ``models/modules/norm.py`` lists
            the available layers.
        masked: Ignore joints that are zero throughout a clip, such as those that a store of a pool lacks. They do not
            affect the norm of the input and are zero after it, and their features are zero. Between input and output
            they connect their neighbours, as other joints do.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, hidden_channels: int = 16,
                 out_channels: int = 256, adjacency: str = 'stgcn', dropout: float = 0.5,
                 absent: str = 'encode', norm_cfg: dict | None = None, masked: bool = False,
                 init_cfg: dict | None = None):
        super().__init__(layout, in_channels, init_cfg)
        check_choice('backbone.absent', absent, ('encode', 'skip'))
        check_integer('backbone.hidden_channels', hidden_channels)
        check_integer('backbone.out_channels', out_channels)
        check_number('backbone.dropout', dropout, 0, below=1)
        check_switch('backbone.masked', masked)
        self.absent, self.out_channels, self.masked = absent, out_channels, masked
        array = torch.from_numpy(build_adjacency(adjacency, self.layout))
        self.register_buffer('A', array)
        h = hidden_channels
        widths = [h] * 4 + [2 * h] * 3 + [4 * h] * 2 + [out_channels]
        self.data_bn = BatchNorm1d(in_channels * self.layout.num_joints)
        self.blocks = nn.ModuleList(
            STGCNBlock(widths[i - 1] if i else in_channels, width, len(array), stride=2 if i in (4, 7) else 1,
                       dropout=dropout if i else 0., residual=i > 0, norm_cfg=norm_cfg)
            for i, width in enumerate(widths))
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(array)) for _ in widths)
        self.apply(normal_init)

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: Unused, because clips are resized to a common length.

        Returns:
            (N, M, D, T', V) feature map with T' = ceil(ceil(T / 2) / 2).
        """
        n, c, t, v, m = x.shape
        if (c, v) != (self.in_channels, self.layout.num_joints):
            raise UserError(f'the clips have {v} joints of {c} channels, but the backbone is built for layout '
                            f'{self.layout.name!r} ({self.layout.num_joints} joints) of {self.in_channels} channels: '
                            'set backbone.layout and backbone.in_channels to match the store')
        if not n:
            raise UserError('the batch contains no clips')
        persons = x.permute(0, 4, 2, 3, 1).reshape(n * m, t, v * c)
        if self.absent == 'skip' and m > 1:
            features = encode_present(self.encode, persons)
        elif m == 1 or exporting() or self.training or torch.is_grad_enabled():
            features = self.encode(persons)
        else:
            features = encode_persons(self.encode, persons)
        return features.view(n, m, *features.shape[1:])

    def encode(self, persons: Tensor, rows: Tensor | None = None) -> Tensor:
        """Encode persons (P, T, V * C) to maps (P, D, T', V). Batch statistics are those of ``rows`` (P,), if given."""
        p, t, vc = persons.shape
        x, shown, frames = persons.reshape(p * t, vc), None, None if rows is None else rows.repeat_interleave(t)
        if self.masked:
            shown = (persons != 0).any(1).view(p, self.layout.num_joints, -1).any(2)  # (P, V)
            entries = shown.repeat_interleave(self.in_channels, 1).unsqueeze(1).expand(p, t, vc)
            x = norm_of_shown(self.data_bn, x, entries.reshape(p * t, vc), frames)
        else:
            x = apply_to_rows(self.data_bn, x, frames)
        x = x.view(p, t, self.layout.num_joints, -1)
        x = x.permute(0, 3, 1, 2)  # channels last in memory
        if exporting():  # strides would become conditions on the length
            x = x.contiguous()
        for block, importance in zip(self.blocks, self.edge_importance, strict=True):
            x = block(x, self.A * importance, rows)
        return x if shown is None else x * shown.view(p, 1, 1, -1)
