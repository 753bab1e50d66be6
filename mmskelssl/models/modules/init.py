"""The contrastive lineage's weight initialisation (docs/methods.md 0.4)."""
from torch import nn


def normal_init(module: nn.Module) -> None:
    """Convolutions and linear layers N(0, 0.02) with zero bias, batch norms N(1, 0.02); for ``Module.apply``."""
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        nn.init.normal_(module.weight, 0., .02)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        nn.init.normal_(module.weight, 1., .02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
