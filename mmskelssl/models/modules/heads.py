"""Projection heads."""
from itertools import pairwise

from torch import Tensor, nn

from mmskelssl.models.checks import check_integer, check_switch
from mmskelssl.models.modules.init import normal_init
from mmskelssl.models.modules.norm import BatchNorm1d


class Projector(nn.Module):
    """MLP that maps the pooled feature to the embedding.

    Args:
        in_channels, hidden_channels, out_channels: Widths.
        norm: Use batch norm after each layer but the last and no biases (SkeAttnCLR). Methods derived from MoCo do not
            use it.
        layers: Number of linear layers.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, norm: bool = False, layers: int = 2):
        super().__init__()
        check_integer('projector.hidden_channels', hidden_channels)
        check_integer('projector.out_channels', out_channels)
        check_switch('projector.norm', norm)
        check_integer('projector.layers', layers)
        widths = [in_channels, *[hidden_channels] * (layers - 1)]
        self.mlp = nn.Sequential()
        for before, after in pairwise(widths):
            self.mlp.extend([nn.Linear(before, after, bias=not norm), BatchNorm1d(after) if norm else nn.Identity(),
                             nn.ReLU()])
        self.mlp.append(nn.Linear(widths[-1], out_channels, bias=not norm))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialise the weights."""
        self.apply(normal_init)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_channels) to embeddings (N, out_channels), not normalised."""
        return self.mlp(x)
