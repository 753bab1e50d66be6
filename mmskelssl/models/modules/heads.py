"""Projection heads."""
from torch import Tensor, nn

from mmskelssl.models.checks import check_integer, check_switch
from mmskelssl.models.modules.init import normal_init
from mmskelssl.models.modules.norm import BatchNorm1d


class Projector(nn.Module):
    """Two-layer MLP that maps the pooled feature to the embedding.

    Args:
        in_channels, hidden_channels, out_channels: Widths.
        norm: Use batch norm after the first layer and no biases (SkeAttnCLR). Methods derived from MoCo do not use it.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, norm: bool = False):
        super().__init__()
        check_integer('projector.hidden_channels', hidden_channels)
        check_integer('projector.out_channels', out_channels)
        check_switch('projector.norm', norm)
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden_channels, bias=not norm),
            BatchNorm1d(hidden_channels) if norm else nn.Identity(), nn.ReLU(),
            nn.Linear(hidden_channels, out_channels, bias=not norm))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialise the weights."""
        self.apply(normal_init)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_channels) to embeddings (N, out_channels), not normalised."""
        return self.mlp(x)
