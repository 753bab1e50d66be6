"""Plots points in two dimensions, coloured by class."""
import io
from collections.abc import Sequence

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import plottable


def draw_scatter(path: str, points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Write a png.

    Args:
        path: File to write.
        points: (N, 2).
        labels: (N,) classes, -1 without one.
        classes: Names by class number.
        title: Title of the plot.
    """
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 6), layout='constrained')
    axis = figure.add_subplot()
    for i, label in enumerate(np.unique(labels)):
        chosen = points[labels == label]
        name = plottable(classes[label]) if label >= 0 else 'no label'
        axis.scatter(chosen[:, 0], chosen[:, 1], s=9, color=f'C{i % 10}', label=f'{name} ({len(chosen)})')
    axis.set(title=plottable(title), xticks=[], yticks=[])
    figure.legend(loc='outside right upper', fontsize='small')
    data = io.BytesIO()
    figure.savefig(data, format='png', dpi=120)
    write_atomically(path, data.getvalue())
