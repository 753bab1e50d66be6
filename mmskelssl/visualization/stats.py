"""Plot the statistics of a store: lengths, classes, persons, coordinates and motion energy."""
import os
from collections.abc import Mapping

import numpy as np

from mmskelssl.errors import UserError, plottable

_COLOUR, _NAMED = '#3b78b5', 40


def plot_stats(stats: Mapping, path: str) -> None:
    """Plot the statistics of a store.

    Args:
        stats: Statistics by name. ``lengths`` (N,) in frames; ``labels`` (N,), -1 for unlabelled; ``persons`` (N,);
            ``classes``, names of the labels, may be empty; ``ranges`` (C,2), a low and a high percentile of each
            coordinate; ``energy`` (N,), motion energy. Optional: ``name`` of the store, ``units`` of the coordinates.
        path: Image file to write. Its suffix determines the format. Its folder is created.

    Raises:
        UserError: If statistics are missing or invalid, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    values = _checked(stats)
    classes = list(stats.get('classes') or [])
    labels, count = values['labels'], max(len(classes), int(values['labels'].max()) + 1)
    figure = Figure(figsize=(13, max(6.5, 1.5 + .2 * min(count, _NAMED))), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([['lengths', 'persons', 'classes'], ['energy', 'ranges', 'classes']],
                                 width_ratios=[1.2, 1, 1.2])
    _histogram(axes['lengths'], values['lengths'], 'length', 'frames')
    _histogram(axes['energy'], values['energy'], 'motion energy', '')
    persons, samples = np.unique(values['persons'], return_counts=True)
    bars = axes['persons'].bar([str(person) for person in persons], samples, color=_COLOUR, width=.6)
    axes['persons'].bar_label(bars)
    axes['persons'].set(title='persons', xlabel='persons in a sample', ylabel='samples')
    _ranges(axes['ranges'], values['ranges'], stats.get('units') or '')
    _classes(axes['classes'], labels, classes, count)
    for axis in axes.values():
        axis.spines[['top', 'right']].set_visible(False)
    figure.suptitle(f'{stats["name"]}: {len(labels)} samples' if stats.get('name') else f'{len(labels)} samples')
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        figure.savefig(path, dpi=100)
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be written: {error}') from error


def _checked(stats: Mapping) -> dict[str, np.ndarray]:
    """Return the arrays after checking that they are finite and have the same length."""
    values: dict[str, np.ndarray] = {}
    for key, type_ in dict(lengths=float, labels=int, persons=int, ranges=float, energy=float).items():
        if stats.get(key) is None:
            raise UserError(f'statistics: {key!r} is missing')
        values[key] = np.asarray(stats[key], type_)
        if not np.isfinite(values[key]).all():
            raise UserError(f'statistics: {key!r} contains NaN or Inf')
    shapes = {key: value.shape for key, value in values.items() if key != 'ranges'}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1 or not len(values['labels']):
        raise UserError(f'statistics: one value per sample is needed, but the shapes are {shapes}')
    if values['ranges'].ndim != 2 or values['ranges'].shape[1] != 2:
        raise UserError(f'statistics: ranges have shape {values["ranges"].shape}; expected (C, 2), low and high')
    return values


def _histogram(axis, values: np.ndarray, title: str, unit: str) -> None:
    axis.hist(values, bins=min(40, max(5, len(np.unique(values)))), color=_COLOUR)
    median = float(np.median(values))
    axis.axvline(median, color='black', linewidth=1, linestyle='--')
    low, high = values.min(), values.max()
    axis.set(title=f'{title}: {low:.4g} to {high:.4g}, median {median:.4g}', xlabel=unit, ylabel='samples')


def _ranges(axis, ranges: np.ndarray, units: str) -> None:
    names = [*'xyz'][:len(ranges)] if len(ranges) <= 3 else [str(i) for i in range(len(ranges))]
    names = [f'{name}: {low:.4g} to {high:.4g}' for name, (low, high) in zip(names, ranges, strict=True)]
    axis.use_sticky_edges = False  # otherwise the lowest bar starts at the frame
    axis.barh(names, ranges[:, 1] - ranges[:, 0], left=ranges[:, 0], color=_COLOUR, height=.5)
    axis.tick_params(axis='y', labelsize='small')
    axis.margins(y=.25)
    axis.invert_yaxis()
    axis.set(title='coordinates, low to high percentile', xlabel=units)


def _classes(axis, labels: np.ndarray, classes: list[str], count: int) -> None:
    samples = np.bincount(labels[labels >= 0], minlength=count)
    unlabelled = int((labels < 0).sum())
    note = f', {unlabelled} samples without label' if unlabelled else ''
    axis.set_title(f'classes{note}' if count else 'no labels')
    if not count:
        axis.set_axis_off()
        return
    axis.barh(np.arange(count), samples, color=_COLOUR, height=.8)
    axis.set(xlabel='samples', ylim=(count - .4, -.6))
    if count <= _NAMED:  # more names would overlap
        names = [classes[i] if i < len(classes) else str(i) for i in range(count)]
        axis.set_yticks(np.arange(count), [plottable(name if len(name) <= 28 else f'{name[:27]}…') for name in names],
                        fontsize='small')
    else:
        axis.set_ylabel('class')
