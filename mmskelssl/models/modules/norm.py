"""Norm layers that a config can name, and batch norm for batches of any size."""
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_integer, check_number
from mmskelssl.models.modules.gather import summed

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


def batch_norm(norm: _BatchNorm, x: Tensor, rows: Tensor | None = None, synchronised: bool = False) -> Tensor:
    """Apply a batch norm in training mode, with the statistics of some rows only, or of all processes.

    Args:
        norm: Batch norm, whose running statistics are updated.
        x: (N, F, ...).
        rows: (N,) bool, at least one of which is true in some process. The result of other rows has no meaning.
        synchronised: Whether the statistics are those of all processes.
    """
    given, x = x.dtype, x.float() if x.dtype in (torch.bfloat16, torch.half) else x  # bfloat16 can't count beyond 256
    axes, shape = [0, *range(2, x.dim())], [1, -1] + [1] * (x.dim() - 2)
    weights = None if rows is None else rows.to(x.dtype).view(-1, *[1] * (x.dim() - 1))

    def total(y: Tensor) -> Tensor:
        made = (y if weights is None else y * weights).sum(axes)
        return summed(made) if synchronised else made

    count = total(x.new_ones(()).expand(len(x), 1, *x.shape[2:]))
    mean = total(x) / count
    centred = x - mean.view(shape)
    variance = total(centred.square()) / count
    with torch.no_grad():
        update_running(norm, mean, variance, count)
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        return (centred * (norm.weight * scale).view(shape) + norm.bias.view(shape)).to(given)
    return (centred * scale.view(shape)).to(given)


def update_running(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """Update the running statistics by the mean (F,) and biased variance (F,) of ``count`` values per channel."""
    if norm.running_mean is not None and norm.running_var is not None:
        assert norm.num_batches_tracked is not None and norm.momentum is not None
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), norm.momentum)


def apply_to_rows(layer: nn.Module, x: Tensor, rows: Tensor | None) -> Tensor:
    """Apply a layer to (N, F, ...) so that its rows ``rows`` (N,) are as if there were no others.

    Only a batch norm in training mode mixes rows. The host does not need to know which rows there are.
    """
    if rows is None or not isinstance(layer, _BatchNorm) or not (layer.training or layer.running_mean is None):
        return layer(x)
    return batch_norm(layer, x, rows, not isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)))


def norm_of_shown(norm: nn.Module, x: Tensor, shown: Tensor, rows: Tensor | None = None) -> Tensor:
    """Normalise an input (N, F, ...) whose hidden values are zero, and keep them zero.

    Hidden values take the running mean first, so that the mean of a feature that is often hidden is that of its shown
    values. As zeros, they would add the distance from the origin to its variance.

    Args:
        norm: Batch norm.
        x: Input.
        shown: Bool, which broadcasts to ``x``.
        rows: As in :func:`apply_to_rows`.
    """
    mean = norm.running_mean
    assert isinstance(mean, Tensor)
    mean = mean.to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))
    return apply_to_rows(norm, torch.where(shown, x, mean), rows) * shown
