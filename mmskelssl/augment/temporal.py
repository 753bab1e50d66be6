"""Augmentations along the time axis. All of them except the blur move the scores with the frames."""
import torch
from torch import Tensor

from mmskelssl.augment.base import BatchAugment, integers, uniform
from mmskelssl.errors import UserError
from mmskelssl.registry import BATCH_AUGMENTS


def take_frames(x: Tensor, index: Tensor) -> Tensor:
    """Select frames ``index`` (N, T') of each clip: (N, C, T, V, M) -> (N, C, T', V, M)."""
    n, c, t, v, m = x.shape
    # Use one row per (sample, channel, frame): copying whole rows is four times faster than gather.
    first = torch.arange(n * c, device=x.device).view(n, c, 1) * t
    rows = x.reshape(n * c * t, v * m).index_select(0, (first + index[:, None]).flatten())
    return rows.view(n, c, -1, v, m)


def resample(x: Tensor, position: Tensor) -> Tensor:
    """Interpolate clips linearly at fractional frame positions (N, T') within [0, T-1]."""
    low = position.floor()
    index = low.long()
    weight = (position - low).view(len(x), 1, -1, 1, 1)
    return torch.lerp(take_frames(x, index), take_frames(x, (index + 1).clamp_(max=x.shape[2] - 1)), weight)


def half_pixel(frames: Tensor, source: Tensor | int, target: Tensor | int) -> Tensor:
    """Map ``frames`` of a clip resized to ``target`` frames to positions in its ``source`` frames (unclamped)."""
    return (frames + 0.5) * source / target - 0.5


@BATCH_AUGMENTS.register_module()
class TemporalCrop(BatchAugment):
    """Crop a random window of T frames from the clip padded with T // ``pad_ratio`` mirrored frames on each side.

    The edge frame is included in the mirrored frames. Clips with fewer than ``pad_ratio`` frames stay unchanged.
    Source: AimCLR, ActCLR and SkeAttnCLR, docs/methods.md 0.5.
    """

    moves = True

    def __init__(self, pad_ratio: int = 6, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        if pad_ratio < 1:
            raise UserError(f'TemporalCrop: pad_ratio must be at least 1, got {pad_ratio}')
        self.pad_ratio = pad_ratio

    def draw(self, x, generator):
        """Draw ``start`` (N,), the first frame of the window in the padded clip, 0 .. 2 * (T // pad_ratio)."""
        return dict(start=integers(x, generator, 2 * (x.shape[2] // self.pad_ratio) + 1))

    def apply(self, x, start):
        t = x.shape[2]
        frame = start[:, None] + torch.arange(t, device=x.device) - t // self.pad_ratio
        frame = torch.where(frame < 0, -1 - frame, frame)
        return take_frames(x, torch.where(frame >= t, 2 * t - 1 - frame, frame))


@BATCH_AUGMENTS.register_module()
class TimeReverse(BatchAugment):
    """Reverse the order of the frames."""

    moves = True

    def __init__(self, p: float = 0.5, layout=None):
        super().__init__(p, layout)

    def apply(self, x):
        return x.flip(2)


@BATCH_AUGMENTS.register_module()
class GaussianBlur(BatchAugment):
    """Convolve every coordinate over time with exp(-k^2 / 2 sigma^2). The clip is padded with zeros.

    Args:
        taps: Length of the kernel, odd.
        sigma: Range of the standard deviation in frames. One value is drawn per sample.
        normalise: Divide by the sum of the weights inside the clip, so that a static clip stays unchanged. The
            published recipe does not divide. Its gain grows from 1 at sigma .1 to 5 at sigma 2 (docs/methods.md 0.5).
    """

    def __init__(self, p: float = 0.5, taps: int = 15, sigma: tuple[float, float] = (0.1, 2.0),
                 normalise: bool = False, layout=None):
        super().__init__(p, layout)
        if taps < 1 or taps % 2 == 0 or not 0 < sigma[0] <= sigma[1]:
            raise UserError(f'GaussianBlur: taps must be odd and 0 < sigma[0] <= sigma[1], got {taps}, {sigma}')
        self.taps, self.sigma, self.normalise = taps, tuple(sigma), normalise

    def draw(self, x, generator):
        """Draw ``sigma`` (N,), in frames."""
        return dict(sigma=uniform(x, generator, *self.sigma))

    def apply(self, x, sigma):
        n, c, t, v, m = x.shape
        reach = self.taps // 2
        lag = torch.arange(-reach, reach + 2, device=x.device)  # the last entry represents all lags out of reach
        weight = torch.exp(-lag.square() / (2 * sigma.square())[:, None])
        # Such small weights do not affect the result, but denormal numbers make the product several times slower.
        weight = weight * ((weight > 1e-20) & (lag <= reach))
        # One (T, T) band matrix per sample is faster here than a depthwise convolution or a loop over taps.
        frame = torch.arange(t, device=x.device)
        tap = frame - frame[:, None] + reach
        band = weight[:, torch.where((tap < 0) | (tap > 2 * reach), 2 * reach + 1, tap)]
        if self.normalise:
            band = band / band.sum(2, keepdim=True)
        return (band[:, None] @ x.reshape(n, c, t, v * m)).view(x.shape)


@BATCH_AUGMENTS.register_module()
class Interpolate(BatchAugment):
    """Resize time by a factor in [1 / (1 + ratio), 1 / (1 + ratio) + ratio], then cut or zero-pad the end back to T.

    The interpolation is half-pixel bilinear, as in preprocessing. Source: ActCLR's strong view, with ratio 1 and
    factors .5 to 1.5.
    """

    moves = True

    def __init__(self, p: float = 0.5, ratio: float = 1.0, layout=None):
        super().__init__(p, layout)
        if ratio < 0:
            raise UserError(f'Interpolate: ratio must not be negative, got {ratio}')
        self.ratio = ratio

    def draw(self, x, generator):
        """Draw ``length`` (N,), the number of frames after resizing, at least 1."""
        low = 1 / (1 + self.ratio)
        return dict(length=(x.shape[2] * uniform(x, generator, low, low + self.ratio)).long().clamp_(min=1))

    def apply(self, x, length):
        t, length = x.shape[2], length[:, None]
        frame = torch.arange(t, device=x.device, dtype=x.dtype)
        resized = resample(x, half_pixel(frame, t, length).clamp_(0, t - 1))
        return resized * (frame < length).view(len(x), 1, t, 1, 1)


@BATCH_AUGMENTS.register_module()
class CropResize(BatchAugment):
    """Crop a random window of a share ``scale`` of the clip and resize it to T frames (half-pixel bilinear).

    Args:
        scale: Range of the share. A window has at least ``least`` frames and at most all of them.
        frames: Number of frames of the result. By default, T. The result then has another length than the clip, so
            ``p`` must be 1.
        least: Minimum number of frames of a window.
        sample: Do not interpolate windows that are longer than the result. Divide them into as many equal segments as
            the result has frames, and take a random frame of each segment (SLiM).
    """

    moves = True

    def __init__(self, scale: tuple[float, float] = (0.5, 1.0), frames: int | None = None, least: int = 1,
                 sample: bool = False, p: float = 1.0, layout=None):
        super().__init__(p, layout)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise UserError(f'CropResize: scale must satisfy 0 < low <= high <= 1, got {scale}')
        for name, value in (('frames', frames), ('least', least)):
            if value is not None and (type(value) is not int or value < 1):
                raise UserError(f'CropResize: {name} must be an integer of at least 1, got {value!r}')
        if frames is not None and p != 1:
            raise UserError(f'CropResize: p must be 1 with frames={frames}, because clips of two lengths cannot form a '
                            f'batch, got {p}')
        self.scale, self.frames, self.least, self.sample = tuple(scale), frames, least, sample

    def draw(self, x, generator):
        """Draw ``start`` and ``length`` (N,) of the window in frames, and with ``sample`` the ``place`` (N, T') in each
        segment, in [0, 1)."""
        t = x.shape[2]
        length = (t * uniform(x, generator, *self.scale)).round().long().clamp_(min(self.least, t), t)
        start = (uniform(x, generator, 0, 1) * (t - length + 1)).long()
        window = dict(start=torch.minimum(start, t - length), length=length)
        return {**window, 'place': uniform(x, generator, 0, 1, self.frames or t)} if self.sample else window

    def apply(self, x, start, length, place=None):
        made, start, length = self.frames or x.shape[2], start[:, None], length[:, None]
        frame = torch.arange(made, device=x.device, dtype=x.dtype)
        inside = torch.minimum(half_pixel(frame, length, made).clamp_(min=0), (length - 1).to(x.dtype))
        if place is not None:
            edges = torch.arange(made + 1, device=x.device) * length // made  # (N, T' + 1)
            size = edges.diff(dim=1)
            picked = edges[:, :-1] + torch.minimum((place * size).long(), size - 1)
            inside = torch.where(length >= made, picked.to(x.dtype), inside)
        return resample(x, start + inside)
