"""Multi-head attention mask (SkeAttnCLR, IJCAI 2023) of the salient features of joints and frames."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_choice, check_integer, check_number
from mmskelssl.models.modules.init import normal_init


class AttentionMask(nn.Module):
    """Self-attention over the T' * V' tokens of each person, squashed to a soft mask (docs/methods.md 2.2).

    The mask has one value per token *and channel*, as in the released code. Average it over the channels to get a map
    over the body. There is no residual path.

    Args:
        channels: D of the feature map.
        heads: Number of attention heads. They share the channels.
        sharpness: Factor before the sigmoid (published: 2).
        init: Initialisation. ``normal`` is N(0, 0.02), as in the original code. The mask then stays at 1/2 everywhere
            for thousands of steps. With ``xavier`` the mask varies from the start.
    """

    def __init__(self, channels: int, heads: int = 8, sharpness: float = 2.0, init: str = 'normal'):
        super().__init__()
        check_choice('attention.init', init, ('normal', 'xavier'))
        check_integer('attention.heads', heads)
        check_number('attention.sharpness', sharpness, above=0)
        if channels % heads:
            raise UserError(f'attention.heads is {heads}; it must divide the {channels} channels of the backbone')
        self.heads, self.sharpness = heads, sharpness
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.apply(normal_init)
        if init == 'xavier':
            for layer in (self.qkv, self.out):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return a mask in (0, 1) of the same shape as the features (N, M, D, T', V')."""
        n, m, d, t, v = features.shape
        tokens = features.permute(0, 1, 3, 4, 2).reshape(n * m, t * v, d)
        qkv = self.qkv(self.norm(tokens)).view(n * m, t * v, 3, self.heads, d // self.heads)
        attended = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4).unbind(0))
        attended = self.out(attended.transpose(1, 2).reshape(n * m, t * v, d))
        mask = torch.sigmoid(self.sharpness * attended)
        return mask.view(n, m, t, v, d).permute(0, 1, 4, 2, 3)
