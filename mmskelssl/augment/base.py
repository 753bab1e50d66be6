"""Base class of random batched augmentations: draw the parameters, then apply them deterministically."""
import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.ops.precision import without_autocast
from mmskelssl.tracing import reads_values


def split_axes(x: Tensor, name: str, dims: tuple[int, ...] = (3, 2)) -> Tensor:
    """Reshape clips (N, C, T, V, M) to (N, G, D, T*V*M), G groups of D coordinates.

    C=6 gives two groups of xyz, one per alignment.

    Args:
        x: Clips.
        name: Name of the caller, for the error message.
        dims: Allowed values of D, in order of preference.

    Raises:
        UserError: If C is not a multiple of any allowed D.
    """
    channels = x.shape[1]
    for dim in dims:
        if channels % dim == 0:
            return x.reshape(len(x), channels // dim, dim, -1)
    raise UserError(f'{name} needs {" or ".join(map(str, dims))} coordinates per joint, but the clips have {channels} '
                    'channels: remove it from the view, or use other data')


def uniform(x: Tensor, generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Draw from U(low, high) with shape (N, *shape), on the device and with the dtype of ``x``."""
    sample = torch.rand(len(x), *shape, generator=generator, device=x.device, dtype=x.dtype)
    return sample * (high - low) + low


def integers(x: Tensor, generator: torch.Generator, high: int) -> Tensor:
    """Draw N integers uniformly from [0, high), returned as (N,)."""
    return torch.randint(high, (len(x),), generator=generator, device=x.device)


class BatchAugment:
    """Base class of random augmentations of a batch of clips (N, C, T, V, M).

    Subclasses implement :meth:`draw`, which draws the parameters of each sample, and :meth:`apply`, which is
    deterministic so that tests can inject parameters. Neither modifies its input.

    Clips may have the scores of their joints as last channels. Augmentations change coordinates, so the scores stay as
    they are. Subclasses that move frames or joints set ``moves``, so that each score stays with its joint.

    Args:
        p: Probability of changing a sample.
        layout: Name, dict or :class:`SkeletonLayout`. If it is not given, :meth:`bind` sets the model's layout.
    """

    needs_layout = False
    moves = False

    def __init__(self, p: float = 1.0, layout=None):
        if not 0 <= p <= 1:
            raise UserError(f'{type(self).__name__}: p is a probability, got {p}')
        self.p = p
        self.layout: SkeletonLayout | None = None
        if layout is not None:
            self.bind(layout)

    def bind(self, layout) -> 'BatchAugment':
        """Set the layout unless the augmentation already has one."""
        if self.layout is None:
            self.layout = get_layout(layout)
        return self

    def draw(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the parameters of all samples, each with shape (N, ...)."""
        return {}

    def apply(self, x: Tensor, **params: Tensor) -> Tensor:
        """Apply the augmentation with the given parameters to all samples."""
        raise NotImplementedError

    def apply_scores(self, scores: Tensor, **params: Tensor) -> Tensor:
        """Return the scores (N, S, T, V, M) that belong to the result of :meth:`apply`."""
        return self.apply(scores, **params) if self.moves else scores

    def _apply(self, x: Tensor, generator: torch.Generator, scores: int) -> Tensor:
        if not scores:
            return self.apply(x, **self.draw(x, generator))
        coordinates, last = x.split([x.shape[1] - scores, scores], 1)
        params = self.draw(coordinates, generator)
        return torch.cat([self.apply(coordinates, **params), self.apply_scores(last, **params)], 1)

    def __call__(self, x: Tensor, generator: torch.Generator, scores: int = 0, overwrite: bool = False) -> Tensor:
        """Augment a batch of clips.

        Args:
            x: (N, C, T, V, M).
            generator: Random generator.
            scores: Number of the last channels that are scores. The draws do not depend on it.
            overwrite: Whether the result may take the place of ``x``, which nobody else needs. It saves a copy.
        """
        if x.ndim != 5:
            raise UserError(f'{type(self).__name__} takes clips (N, C, T, V, M), got shape {tuple(x.shape)}')
        if self.needs_layout and self.layout is None:
            raise UserError(f'{type(self).__name__} needs a skeleton layout: set layout=...')
        with without_autocast(x):  # mmengine calls the preprocessor under autocast, where matmul returns bfloat16
            if self.p == 0 or not x.numel():
                return x
            if self.p == 1:
                return self._apply(x, generator, scores)
            chosen = torch.rand(len(x), generator=generator, device=x.device) < self.p
            if not reads_values(x):
                return torch.where(chosen.view(-1, 1, 1, 1, 1), self._apply(x, generator, scores), x)
            rows = chosen.nonzero().squeeze(1)
            if not len(rows):
                return x
            if overwrite:
                return self._overwrite(x, rows, generator, scores)
            return x.index_copy(0, rows, self._apply(x.index_select(0, rows), generator, scores))

    def _overwrite(self, x: Tensor, rows: Tensor, generator: torch.Generator, scores: int) -> Tensor:
        """Augment the samples ``rows`` (N',) in place. Subclasses that change little of them need not copy them."""
        part = x.index_select(0, rows)  # takes half as long as indexing
        return x.index_copy_(0, rows, self._apply(part, generator, scores))

    def __repr__(self) -> str:
        settings = ', '.join(f'{key}={value!r}' for key, value in vars(self).items() if key != 'layout')
        return f'{type(self).__name__}({settings})'
