"""What every random batched augmentation has in common: a draw, and a deterministic application of what was drawn."""
import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.ops.precision import without_autocast


def split_axes(x: Tensor, name: str, dims: tuple[int, ...] = (3, 2)) -> Tensor:
    """(N, C, T, V, M) -> (N, G, D, T*V*M): G groups of D coordinates. C=6 is two groups of xyz (two alignments).

    Args:
        x: Clips.
        name: Who asks, for the error.
        dims: The D that make sense, in order of preference.
    """
    channels = x.shape[1]
    for dim in dims:
        if channels % dim == 0:
            return x.reshape(len(x), channels // dim, dim, -1)
    raise UserError(f'{name} needs {" or ".join(map(str, dims))} coordinates a joint, but the clips have {channels} '
                    'channels: take it out of the view, or give it other data')


def uniform(x: Tensor, generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """U(low, high) of shape (N, *shape), on the device and in the type of ``x``."""
    sample = torch.rand(len(x), *shape, generator=generator, device=x.device, dtype=x.dtype)
    return sample * (high - low) + low


def integers(x: Tensor, generator: torch.Generator, high: int) -> Tensor:
    """(N,) integers uniform in [0, high)."""
    return torch.randint(high, (len(x),), generator=generator, device=x.device)


class BatchAugment:
    """A random operator on a batch of clips (N, C, T, V, M).

    Subclasses write :meth:`draw`, one parameter per sample, and :meth:`apply`, which is deterministic, so that a test
    can inject parameters. Neither changes its input.

    Args:
        p: Probability with which each sample is changed.
        layout: Name, dict or :class:`SkeletonLayout`; where it is not given, :meth:`bind` supplies the model's.
    """

    needs_layout = False

    def __init__(self, p: float = 1.0, layout=None):
        if not 0 <= p <= 1:
            raise UserError(f'{type(self).__name__}: p is a probability, got {p}')
        self.p = p
        self.layout: SkeletonLayout | None = None
        if layout is not None:
            self.bind(layout)

    def bind(self, layout) -> 'BatchAugment':
        """Take ``layout`` unless the operator has one of its own."""
        if self.layout is None:
            self.layout = get_layout(layout)
        return self

    def draw(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Parameters of every sample, each of shape (N, ...)."""
        return {}

    def apply(self, x: Tensor, **params: Tensor) -> Tensor:
        """The operator with given parameters, on all samples."""
        raise NotImplementedError

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if x.ndim != 5:
            raise UserError(f'{type(self).__name__} takes clips (N, C, T, V, M), got shape {tuple(x.shape)}')
        if self.needs_layout and self.layout is None:
            raise UserError(f'{type(self).__name__} needs a skeleton layout: give it layout=...')
        with without_autocast(x):  # mmengine calls the preprocessor inside it, where a matmul would return bfloat16
            if self.p == 0 or not x.numel():
                return x
            if self.p == 1:
                return self.apply(x, **self.draw(x, generator))
            chosen = torch.rand(len(x), generator=generator, device=x.device) < self.p
            if x.is_cuda:  # picking rows there would wait for the device
                return torch.where(chosen.view(-1, 1, 1, 1, 1), self.apply(x, **self.draw(x, generator)), x)
            rows = chosen.nonzero().squeeze(1)
            if not len(rows):
                return x
            part = x.index_select(0, rows)  # half the time of indexing
            return x.index_copy(0, rows, self.apply(part, **self.draw(part, generator)))

    def __repr__(self) -> str:
        settings = ', '.join(f'{key}={value!r}' for key, value in vars(self).items() if key != 'layout')
        return f'{type(self).__name__}({settings})'
