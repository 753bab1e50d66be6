"""The contract between encoders and the code that uses them."""
import inspect
from numbers import Integral

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.checks import check_integer
from mmskelssl.registry import MODELS


class SkeletonBackbone(BaseModule):
    """Base class of encoders, which map clips (N, C, T, V, M) to feature maps (N, M', D, T', V').

    A module that does not derive from this class can also serve as a backbone if it has ``out_channels`` and the same
    ``forward`` signature. :func:`build_backbone` adds this class's defaults for missing attributes.

    Args:
        layout: Name or dict of the skeleton layout. A config may omit it. It is then taken from the store.
        in_channels: Number of coordinates of a joint, C. A config may omit it as well.

    Attributes:
        out_channels: D, the length of a pooled feature.
        maps_joints: Whether the last axis of the map corresponds to the layout's joints. Methods that need joints in
            the map reject encoders without them.
        variable_length: Whether the encoder uses ``num_frames``. Its map then has T' = T and is zero after a clip's
            last real frame.
    """
    out_channels: int
    maps_joints = True
    variable_length = False

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        check_integer('backbone.in_channels', in_channels)
        self.layout, self.in_channels = get_layout(layout), in_channels

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: (N,) number of real frames of each clip. None means that all frames are real.

        Returns:
            (N, M', D, T', V'). M' = 1 if the encoder merges persons, and V' = 1 if it merges joints.
        """
        raise NotImplementedError


def build_backbone(backbone: dict | nn.Module) -> nn.Module:
    """Build a backbone and check that it follows the contract. A module that is already built is only checked.

    Raises:
        UserError: If the backbone violates the contract. The message names the attribute or method.
    """
    if isinstance(backbone, nn.Module):
        module = backbone
    else:
        _check_arguments(backbone)
        module = MODELS.build(backbone)
    name, channels = type(module).__name__, getattr(module, 'out_channels', None)
    if not isinstance(channels, Integral) or channels < 1:
        raise UserError(f'backbone {name}: out_channels is {channels!r}; set it to the length of a pooled feature, '
                        'the D of its map (N, M, D, T, V)')
    try:
        inspect.signature(module.forward).bind(None, None)
    except TypeError:
        raise UserError(f'backbone {name}: forward must take the clips and num_frames, as in '
                        'forward(self, x, num_frames=None)') from None
    for attribute in ('maps_joints', 'variable_length'):
        value = getattr(module, attribute, getattr(SkeletonBackbone, attribute))
        if not isinstance(value, bool):
            raise UserError(f'backbone {name}: {attribute} is {value!r}; set it to True or False')
        if not hasattr(module, attribute):
            setattr(module, attribute, value)
    return module


def _check_arguments(config: dict) -> None:
    """Raise if the constructor of the class does not take the arguments that are filled in from the store."""
    cls = config['type'] if inspect.isclass(config.get('type')) else MODELS.get(str(config.get('type')))
    if cls is None:
        return  # the registry reports the unknown type
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    missing = [name for name in ('layout', 'in_channels') if name in config and name not in parameters]
    if missing:
        raise UserError(f'backbone {cls.__name__}: __init__ does not take {" and ".join(missing)}, filled in from '
                        'the store: add these arguments')


def check_map(features: Tensor, backbone: nn.Module) -> None:
    """Raise unless a feature map has the shape (N, M, D, T', V') with D = ``out_channels``."""
    if features.dim() != 5 or features.shape[2] != backbone.out_channels:
        raise UserError(f'backbone {type(backbone).__name__} returns a map of shape {tuple(features.shape)}; it must '
                        f"be (N, M, D, T', V') with D = out_channels = {backbone.out_channels}")
