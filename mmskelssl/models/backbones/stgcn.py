"""ST-GCN (Yan et al., AAAI 2018) in the width and depth that the contrastive lineage uses."""
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.models.backbones.adjacency import build_adjacency
from mmskelssl.models.backbones.base import SkeletonBackbone
from mmskelssl.models.modules.init import normal_init
from mmskelssl.models.modules.norm import BatchNorm1d, build_norm
from mmskelssl.ops.absent import encode_persons
from mmskelssl.ops.batch_norm import can_fold, conv_norm
from mmskelssl.ops.dropout import Dropout
from mmskelssl.ops.graph_conv import graph_conv
from mmskelssl.ops.temporal_conv import TemporalConv, temporal_conv
from mmskelssl.registry import MODELS


class GraphConv(nn.Module):
    """Spatial graph convolution: one 1x1 convolution for each slice of the adjacency, summed."""

    def __init__(self, in_channels: int, out_channels: int, slices: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * slices, 1)

    def forward(self, x: Tensor, adjacency: Tensor, norm: nn.Module | None = None) -> Tensor:
        """x (B, C, T, V), adjacency (K, V, V) -> (B, C', T, V), channels last in memory; then ``norm``, folded in."""
        return graph_conv(x, adjacency, self.conv.weight, self.conv.bias, norm)


class Shortcut(nn.Sequential):
    """Residual path of a block that changes width or length: every ``stride``-th frame, 1x1 convolution, BN.

    The frames are taken before the convolution, which then has no stride: the same sum, but oneDNN's backward pass of a
    strided 1x1 convolution with few channels, channels last, crashes with several threads (torch 2.13 on CPU).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: nn.Module):
        super().__init__(nn.Conv2d(in_channels, out_channels, 1), norm)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        return super().forward(x[:, :, ::self.stride])


class STGCNBlock(nn.Module):
    """Graph convolution, BN, ReLU, 9x1 temporal convolution, BN, dropout; added to the residual, ReLU."""

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

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        if self.foldable and not (self.training or torch.is_grad_enabled()):
            return self.folded(x, adjacency)
        out = self.tcn(self.gcn(x, adjacency))
        return F.relu_(out if self.residual is None else out.add_(self.residual(x)))

    def folded(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """The same in eval, with each batch norm folded into the convolution before it."""
        norm, _, conv, last, _ = self.tcn
        out = self.gcn(x, adjacency, norm).relu_()
        out = conv_norm(out, conv, last, partial(temporal_conv, stride=conv.stride[0], padding=conv.padding[0]))
        if isinstance(self.residual, Shortcut):
            x = conv_norm(x[:, :, ::self.residual.stride], *self.residual)
        return (out if self.residual is None else out.add_(x)).relu_()


@MODELS.register_module()
class STGCN(SkeletonBackbone):
    """Ten ST-GCN blocks over any layout (docs/methods.md 0.4: widths, strides and initialisation of the lineage).

    Persons are folded into the batch.

    Args:
        layout: Name or dict of the skeleton layout.
        in_channels: Coordinates of a joint.
        hidden_channels: Width of the first blocks; 16 in AimCLR and ActCLR, 64 in SkeAttnCLR.
        out_channels: Width of the last block, the feature dimension.
        adjacency: ``stgcn``, ``agcn`` or ``partition``, see :mod:`.adjacency`.
        dropout: Rate in every block but the first.
        absent: What becomes of an absent person, all zeros: ``encode`` it like any other, as published, or ``skip`` it,
            its map being zero and no part of the batch statistics, which saves the work where most clips show one.
        norm_cfg: Norm layer, such as ``dict(type='GN', num_groups=2)``, of those in ``models/modules/norm.py``.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, hidden_channels: int = 16,
                 out_channels: int = 256, adjacency: str = 'stgcn', dropout: float = 0.5,
                 absent: str = 'encode', norm_cfg: dict | None = None, init_cfg: dict | None = None):
        super().__init__(layout, in_channels, init_cfg)
        if absent not in ('encode', 'skip'):
            raise UserError(f"backbone.absent must be 'encode' or 'skip', not {absent!r}")
        self.absent, self.out_channels = absent, out_channels
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
            num_frames: Unused; clips are resized to a common length.

        Returns:
            (N, M, D, T', V) feature map with T' = ceil(ceil(T / 2) / 2).
        """
        n, c, t, v, m = x.shape
        if (c, v) != (self.in_channels, self.layout.num_joints):
            raise UserError(f'the clips have {v} joints of {c} channels, but the backbone is built for layout '
                            f'{self.layout.name!r} ({self.layout.num_joints} joints) of {self.in_channels} channels: '
                            'set backbone.layout and backbone.in_channels to match the store')
        if not n:
            raise UserError('there are no clips in this batch')
        persons = x.permute(0, 4, 2, 3, 1).reshape(n * m, t, v * c)
        if m == 1 or (self.absent == 'encode' and (self.training or torch.is_grad_enabled())):
            features = self.encode(persons)
        elif self.absent == 'encode':
            features = encode_persons(self.encode, persons)
        else:
            rows = (persons != 0).flatten(1).any(1).nonzero().squeeze(1)
            encoded = self.encode(persons[rows] if len(rows) else persons)
            features = encoded if len(encoded) == n * m else encoded.new_zeros(
                n * m, *encoded.shape[1:]).index_copy(0, rows, encoded)
        return features.view(n, m, *features.shape[1:])

    def encode(self, persons: Tensor) -> Tensor:
        """(P, T, V * C) -> (P, D, T', V)."""
        p, t, vc = persons.shape
        x = self.data_bn(persons.reshape(p * t, vc)).view(p, t, self.layout.num_joints, -1)
        x = x.permute(0, 3, 1, 2)  # channels last in memory
        for block, importance in zip(self.blocks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        return x
