"""Norm layers that a config can name, and batch norm for batches of any size."""
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_integer, check_number

# A fixed list instead of a registry, because a registry would import whatever module a dotted name contains.
NORMS = dict(BN=nn.BatchNorm2d, BN2d=nn.BatchNorm2d, SyncBN=nn.SyncBatchNorm, GN=nn.GroupNorm, IN=nn.InstanceNorm2d)
_OPTIONS = dict(eps=float, momentum=float, affine=bool, track_running_stats=bool, num_groups=int)


def check_norm(config: Mapping, what: str = 'norm_cfg') -> dict:
    """Check the config of a norm layer, such as ``dict(type='GN', num_groups=2)``, and return a copy.

    Raises:
        UserError: If the config is invalid. The message names ``what``.
    """
    if not isinstance(config, Mapping) or config.get('type') not in list(NORMS):
        raise UserError(f'{what} is {str(config)[:100]}; it is a dict whose type is one of {", ".join(NORMS)}')
    for key, value in config.items():
        kind = str if key == 'type' else _OPTIONS.get(key)
        if kind is None or type(value) not in ((int, float) if kind is float else (kind,)):
            raise UserError(f'{what}: {key}={str(value)[:40]} is not an option of a norm layer; the options are '
                            f'{", ".join(_OPTIONS)}')
    for key, low, high in (('eps', 0., math.inf), ('momentum', 0., 1.)):
        if key in config:
            check_number(f'{what}.{key}', config[key], low, high)
    if 'num_groups' in config:
        check_integer(f'{what}.num_groups', config['num_groups'])
    return dict(config)


def build_norm(config: Mapping, channels: int) -> nn.Module:
    """Build the norm layer of a config for inputs (N, C, T, V)."""
    options = check_norm(config)
    kind = NORMS[options.pop('type')]
    groups = options.get('num_groups', 1)
    if kind is nn.GroupNorm and channels % groups:
        raise UserError(f'norm_cfg.num_groups is {groups}; it must divide the {channels} channels of every layer')
    return kind(num_channels=channels, **options) if kind is nn.GroupNorm else kind(channels, **options)


class BatchNorm1d(nn.BatchNorm1d):
    """``nn.BatchNorm1d`` that also accepts a single value per channel in training, such as the last clip of an epoch.

    A single value has no batch statistics, so torch raises an error. This class normalises it with the running
    statistics and does not update them.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0., self.eps)
        return super().forward(x)


def norm_of_shown(norm: nn.Module, x: Tensor, shown: Tensor) -> Tensor:
    """Normalise an input (N, F, ...) whose hidden values are zero, and keep them zero.

    Hidden values take the running mean first, so that the mean of a feature that is often hidden is that of its shown
    values. As zeros, they would add the distance from the origin to its variance.

    Args:
        norm: Batch norm.
        x: Input.
        shown: Bool, which broadcasts to ``x``.
    """
    mean = norm.running_mean
    assert isinstance(mean, Tensor)
    mean = mean.to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))
    return norm(torch.where(shown, x, mean)) * shown
