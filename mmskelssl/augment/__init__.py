"""Random batched augmentations on the device, mixing, and streams. Clips always have the shape (N, C, T, V, M)."""
from collections.abc import Iterable

from mmskelssl.augment.base import BatchAugment
from mmskelssl.augment.mixing import MixPlan, SwapParts, draw_mix, draw_shift, mix, partners
from mmskelssl.augment.persons import PickPerson
from mmskelssl.augment.skeletal import Rescale, SpatialFlip
from mmskelssl.augment.spatial import (
    AxisMask,
    CoordinateDropout,
    GaussianNoise,
    JointMask,
    LinearJitter,
    Rotate,
    Scale,
    Shear,
    TiltRotate,
    YawRotate,
)
from mmskelssl.augment.streams import STREAMS, stream_channels, to_stream
from mmskelssl.augment.style import blend, transfer_style, upsample_mask
from mmskelssl.augment.temporal import CropResize, GaussianBlur, Interpolate, TemporalCrop, TimeReverse
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS, explain_unknown

__all__ = [
    'AxisMask', 'BatchAugment', 'CoordinateDropout', 'CropResize', 'GaussianBlur', 'GaussianNoise', 'Interpolate',
    'JointMask', 'LinearJitter', 'MixPlan', 'PickPerson', 'Rescale', 'Rotate', 'STREAMS', 'Scale', 'Shear',
    'SpatialFlip', 'SwapParts', 'TemporalCrop', 'TiltRotate', 'TimeReverse', 'YawRotate', 'blend', 'build_augments',
    'draw_mix', 'draw_shift', 'mix', 'partners', 'stream_channels', 'to_stream', 'transfer_style', 'upsample_mask',
]


def build_augments(configs: Iterable[dict | BatchAugment], layout=None) -> list[BatchAugment]:
    """Build the augmentations of a view and bind the model's layout to those without their own."""
    augments = []
    for config in configs:
        try:
            augment = BATCH_AUGMENTS.build(config) if isinstance(config, dict) else config
        except UserError:
            raise
        except (KeyError, TypeError) as error:
            reason = explain_unknown(error) or ' '.join(str(error).split())
            raise UserError(f'augmentation {config}: {reason}') from error
        augments.append(augment if layout is None else augment.bind(layout))
    return augments
