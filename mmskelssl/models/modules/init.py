"""Weight initialisation of the contrastive methods (docs/methods.md 0.4)."""
from torch import nn


def normal_init(module: nn.Module) -> None:
    """Initialise a module, for use with ``Module.apply``.

    Weights are drawn from N(0, 0.02) for convolutions and linear layers and from N(1, 0.02) for batch norms. Biases
    are zero.
    """
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        nn.init.normal_(module.weight, 0., .02)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        nn.init.normal_(module.weight, 1., .02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
