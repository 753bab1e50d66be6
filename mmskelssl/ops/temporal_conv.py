"""Convolution over time, computed in the frequency domain if that is faster on a CPU."""
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LIMIT = .6  # use the frequency domain if it needs at most this share of the direct sum's multiplications
ROWS = 256  # rows (bodies x joints) to transform and multiply at a time, so that they stay in the cache


class TemporalConv(nn.Conv2d):
    """``nn.Conv2d`` with a (taps, 1) kernel that keeps the length except for the stride, see :func:`temporal_conv`."""
    bias: Tensor
    padding: tuple[int, ...]

    def __init__(self, channels: int, taps: int, stride: int = 1):
        super().__init__(channels, channels, (taps, 1), (stride, 1), (taps // 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, V) -> (B, C, ceil(T / stride), V)."""
        return temporal_conv(x, self.weight, self.bias, self.stride[0], self.padding[0])


def plain_temporal_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve x (B, C, T, V) with weight (C', C, K, 1) and bias (C',). Stride and padding apply to T only."""
    return F.conv2d(x, weight, bias, (stride, 1), (padding, 0))


def temporal_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Compute :func:`plain_temporal_conv` in the frequency domain if that takes fewer multiplications.

    A Fourier transform over time turns the sum over K taps into one matrix product (C, C') per frequency (Mathieu,
    Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", ICLR 2014). Three real products replace a
    complex one (Gauss). For 13 frames and nine taps, 97 pairs within the clip, this takes 25 products. Clips are
    short, so the transforms are also products with constant matrices, in the form of Lavin and Gray ("Fast Algorithms
    for Convolutional Neural Networks", CVPR 2016, section 4). This form provides both gradients as well.

    The result differs from the plain one by rounding. The frequency domain is used in float32 and float64 on a CPU if
    it needs sufficiently few multiplications.
    """
    if (not torch.compiler.is_compiling()  # first, because len() would fix the size of the batch in a trace
            and x.device.type == 'cpu' and x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)
            and len(x) and not torch.is_autocast_enabled('cpu') and _pays(x.shape, weight.shape, stride, padding)):
        return _FrequencyConv.apply(x, weight, bias, stride, padding)
    return plain_temporal_conv(x, weight, bias, stride, padding)


@lru_cache(maxsize=64)
def _pays(x: torch.Size, weight: torch.Size, stride: int, padding: int) -> bool:
    """Return whether the multiplications, including the transforms, are few compared with the (frame, tap) pairs."""
    (n, _, t, v), (c_out, c, taps, _) = x, weight
    length = (t + 2 * padding - taps) // stride + 1
    pairs = sum(0 <= i * stride + k - padding < t for i in range(length) for k in range(taps))
    if not pairs:
        return False
    phases, products, _ = _transforms(t, taps, stride, padding, torch.float64)[1].shape
    transforms = products * (t * c + length * c_out + phases * taps * c * c_out / (n * v))
    return phases * products * c * c_out + transforms < LIMIT * pairs * c * c_out


@lru_cache(maxsize=64)
def _transforms(t: int, taps: int, stride: int, padding: int,
                dtype: torch.dtype) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the transform matrices S x (R, T / S) of the frames, (S, R, K) of the taps and (T', R) of the result.

    R is the number of products. With a stride of S, the result is the sum of S convolutions, each of every S-th frame
    with every S-th tap.
    """
    length = (t + 2 * padding - taps) // stride + 1
    frames, ahead, phases = -(-t // stride), np.arange(taps) - padding, np.arange(stride)[:, None, None]
    first, last = ahead[[0, -1]] // stride
    size = max(length + last, frames - first)  # a shorter size would make the clip's ends overlap
    real = [0, size // 2][:2 - size % 2]  # frequencies whose coefficients have no imaginary part

    def waves(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angles = np.arange(size // 2 + 1)[:, None] * positions % size * (2 * np.pi / size)
        return np.cos(angles), np.sin(angles)

    def rows(one: np.ndarray, *three: np.ndarray) -> np.ndarray:
        return np.concatenate([one[real], *(part[1:(size + 1) // 2] for part in three)])

    # The product of a frame's coefficient a + bi and a tap's c + di is p - r + (p + q)i, with p = (a + b)c,
    # q = a(d - c) and r = b(c + d). The result is the real part of this product times e + fi. All frequencies except
    # the real ones count twice.
    (a, b), (c, d), (e, f) = waves(-np.arange(frames)), waves(ahead // stride), waves(np.arange(length))
    of_frames, of_taps = rows(a, a + b, a, b), rows(c, c, d - c, c + d) * (ahead % stride == phases)
    of_result = rows(e, 2 * (e - f), -2 * f, -2 * e).T / size

    def tensor(matrix: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(matrix)).to(dtype)
    return [tensor(of_frames[:, :len(range(i, t, stride))]) for i in range(stride)], tensor(of_taps), tensor(of_result)


class _FrequencyConv(torch.autograd.Function):
    """Sum over the taps, one chunk of bodies at a time. Spectra are not stored but recomputed for the gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options = stride, padding
        n, c, t, v = x.shape
        of_frames, of_taps, of_result = _transforms(t, weight.shape[2], stride, padding, x.dtype)
        filters = _filters(of_taps, weight).transpose(2, 3)
        out = x.new_empty(n, len(of_result), v * len(weight))
        for frames, result in _chunks(v, _rows(x), out):
            product = None
            for i, matrix in enumerate(of_frames):
                product = _multiply(_spectrum(matrix, frames[:, i::stride], c), filters[i], product)
            assert product is not None  # there is one matrix per stride step
            product[0] += bias / of_result[0, 0]  # a constant has frequency 0 only
            _series(of_result, product, result)
        return out.view(n, -1, v, len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (n, c, t, v), c_out, (stride, padding) = x.shape, len(weight), ctx.options
        of_frames, of_taps, of_result = _transforms(t, weight.shape[2], stride, padding, x.dtype)
        filters = _filters(of_taps, weight)
        x_grad, filter_grads = x.new_empty(n, t, v * c), torch.zeros_like(filters)
        bias_grad = weight.new_zeros(c_out)
        for frames, of_frames_grad, result_grad in _chunks(v, _rows(x), x_grad, _rows(grad)):
            product_grad = _spectrum(of_result.t(), result_grad, c_out)
            bias_grad = bias_grad + product_grad[0].sum(0) / of_result[0, 0]
            for i, matrix in enumerate(of_frames):
                _multiply(product_grad.transpose(1, 2), _spectrum(matrix, frames[:, i::stride], c), filter_grads[i])
                _series(matrix.t(), _multiply(product_grad, filters[i]), of_frames_grad[:, i::stride])
        weight_grad = torch.mm(filter_grads.view(-1, c_out * c).t(), of_taps.flatten(0, 1)).view_as(weight)
        return x_grad.view(n, t, v, c).permute(0, 3, 1, 2), weight_grad, bias_grad, None, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, T, V) -> (B, T, V * C), without a copy if channels are last in memory."""
    return x.permute(0, 2, 3, 1).reshape(len(x), x.shape[2], -1)


def _chunks(joints: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(x.split(max(1, ROWS // joints)) for x in tensors), strict=True)


def _filters(of_taps: Tensor, weight: Tensor) -> Tensor:
    """(S, R, K) and (C', C, K, 1) -> (S, R, C', C)."""
    made = torch.mm(of_taps.flatten(0, 1), weight.flatten(2).flatten(0, 1).t())
    return made.view(*of_taps.shape[:2], *weight.shape[:2])


def _spectrum(matrix: Tensor, frames: Tensor, channels: int) -> Tensor:
    """(R, T) and (B, T, V * C) -> (R, B * V, C)."""
    out = frames.new_empty(len(matrix), len(frames), frames.shape[2])
    torch.bmm(matrix.expand(len(frames), -1, -1), frames, out=out.transpose(0, 1))
    return out.view(len(matrix), -1, channels)


def _series(matrix: Tensor, spectrum: Tensor, out: Tensor) -> None:
    """(T, R) and (R, B * V, C) -> out (B, T, V * C)."""
    spectrum = spectrum.view(len(spectrum), len(out), -1).transpose(0, 1)
    torch.bmm(matrix.expand(len(out), -1, -1), spectrum, out=out)


def _multiply(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply two batches of matrices and add the product to ``out`` if given."""
    return torch.bmm(a, b) if out is None else torch.baddbmm(out, a, b, out=out)
