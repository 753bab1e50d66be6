"""ST-GCN as docs/methods.md 0.4 defines it: convolve to K * C' channels first, then gather over the graph (einsum)."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainGraphConv(nn.Module):
    """1x1 convolution to K * C', split into K, ``y[n,c,t,w] = sum_kv x[n,k,c,t,v] A[k,v,w]`` (docs/methods.md 0.4)."""

    def __init__(self, in_channels: int, out_channels: int, slices: int):
        super().__init__()
        self.conv, self.slices = nn.Conv2d(in_channels, out_channels * slices, 1), slices

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = self.conv(x)
        n, kc, t, v = x.shape
        return torch.einsum('nkctv,kvw->nctw', x.view(n, self.slices, kc // self.slices, t, v), adjacency)


class PlainBlock(nn.Module):
    """Graph convolution, BN, ReLU, 9x1 convolution, BN, dropout, residual, ReLU (docs/methods.md 0.4)."""

    def __init__(self, in_channels: int, out_channels: int, slices: int, stride: int, dropout: float, residual: bool):
        super().__init__()
        self.gcn = PlainGraphConv(in_channels, out_channels, slices)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, (9, 1), (stride, 1), (4, 0)), nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout, inplace=True))
        if not residual:
            self.residual = None
        elif in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, (stride, 1)),
                                          nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x, adjacency))
        return F.relu(out if self.residual is None else out + self.residual(x), inplace=True)


class PlainSTGCN(nn.Module):
    """The ten blocks (docs/methods.md 0.4). Its parameters have the names of the package's.

    Args:
        adjacency: (K, V, V).
    """

    def __init__(self, adjacency: Tensor, in_channels: int = 3, hidden: int = 16, out_channels: int = 256,
                 dropout: float = 0.5):
        super().__init__()
        self.register_buffer('A', adjacency.clone())
        widths = [hidden] * 4 + [2 * hidden] * 3 + [4 * hidden] * 2 + [out_channels]
        self.data_bn = nn.BatchNorm1d(in_channels * adjacency.shape[1])
        self.blocks = nn.ModuleList(
            PlainBlock(widths[i - 1] if i else in_channels, width, len(adjacency), 2 if i in (4, 7) else 1,
                       dropout if i else 0., i > 0) for i, width in enumerate(widths))
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(adjacency)) for _ in widths)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V, M) -> (N * M, D, T', V)."""
        n, c, t, v, m = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t))
        x = x.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for block, importance in zip(self.blocks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        return x


def plain_copy(backbone, dropout: float) -> PlainSTGCN:
    """A plain ST-GCN with the weights of the package's."""
    plain = PlainSTGCN(backbone.A, backbone.in_channels, backbone.blocks[0].gcn.conv.out_channels // len(backbone.A),
                       backbone.out_channels, dropout).to(backbone.A)
    plain.load_state_dict(backbone.state_dict())
    return plain


def pool(features: Tensor, persons: int) -> Tensor:
    """(N * M, D, T', V) -> (N, D): mean over frames and joints, then over persons, absent ones included."""
    return features.mean((2, 3)).view(-1, persons, features.shape[1]).mean(1)
