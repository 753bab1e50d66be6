"""The contract between encoders and everything that uses them."""
import inspect
from numbers import Integral

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.registry import MODELS


class SkeletonBackbone(BaseModule):
    """Base of encoders: clips (N, C, T, V, M) to a feature map (N, M', D, T', V').

    A module that does not derive from this class is a backbone too, if it has ``out_channels`` and this ``forward``.
    It gets the class's defaults for the attributes that it lacks (:func:`build_backbone`).

    Args:
        layout: Name or dict of the skeleton layout. A config need not name it: it is taken from the store.
        in_channels: Coordinates of a joint, C. Taken from the store too.

    Attributes:
        out_channels: D, the length of a pooled feature.
        maps_joints: Whether the last axis of the map is the layout's joints. If not, methods that look for joints in
            the map refuse the encoder.
        variable_length: Whether the encoder looks at ``num_frames``. Its map then has T' = T, zero beyond a clip's end.
    """
    out_channels: int
    maps_joints = True
    variable_length = False

    def __init__(self, layout: str | dict | SkeletonLayout, in_channels: int = 3, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.layout, self.in_channels = get_layout(layout), in_channels

    def forward(self, x: Tensor, num_frames: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            x: (N, C, T, V, M).
            num_frames: (N,) real frames of each clip; None for all.

        Returns:
            (N, M', D, T', V'). M' = 1 where persons are joined, V' = 1 where joints are.
        """
        raise NotImplementedError


def build_backbone(backbone: dict | nn.Module) -> nn.Module:
    """Build a backbone, or take one that is built, and check it against the contract.

    Raises:
        UserError: It does not keep the contract; the message says where.
    """
    if not isinstance(backbone, nn.Module):
        _check_arguments(backbone)
        backbone = MODELS.build(backbone)
    name, channels = type(backbone).__name__, getattr(backbone, 'out_channels', None)
    if not isinstance(channels, Integral) or channels < 1:
        raise UserError(f'backbone {name}: out_channels is {channels!r}; set it to the length of a pooled feature, '
                        'the D of its map (N, M, D, T, V)')
    try:
        inspect.signature(backbone.forward).bind(None, None)
    except TypeError:
        raise UserError(f'backbone {name}: forward has to take the clips and num_frames, as in '
                        'forward(self, x, num_frames=None)') from None
    for attribute in ('maps_joints', 'variable_length'):
        value = getattr(backbone, attribute, getattr(SkeletonBackbone, attribute))
        if not isinstance(value, bool):
            raise UserError(f'backbone {name}: {attribute} is {value!r}; set it to True or False')
        if not hasattr(backbone, attribute):
            setattr(backbone, attribute, value)
    return backbone


def _check_arguments(config: dict) -> None:
    """Refuse a class whose constructor does not take what the store decides."""
    cls = config['type'] if inspect.isclass(config.get('type')) else MODELS.get(str(config.get('type')))
    if cls is None:
        return  # the registry says so
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    missing = [name for name in ('layout', 'in_channels') if name in config and name not in parameters]
    if missing:
        raise UserError(f'backbone {cls.__name__}: __init__ does not take {" and ".join(missing)}, which the store '
                        'decides: add these arguments')


def check_map(features: Tensor, backbone: nn.Module) -> None:
    """Refuse a feature map that is not (N, M, D, T', V') with D = ``out_channels``."""
    if features.dim() != 5 or features.shape[2] != backbone.out_channels:
        raise UserError(f'backbone {type(backbone).__name__} gives a map of shape {tuple(features.shape)}; it has '
                        f"to be (N, M, D, T', V') with D = out_channels = {backbone.out_channels}")
