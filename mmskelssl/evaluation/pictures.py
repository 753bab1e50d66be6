"""Plot the errors of a classifier."""
import io
from collections.abc import Sequence

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import plottable

NUMBERED = 80  # classes up to which cells are large enough for numbers


def draw_errors(path: str, labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str], title: str,
                precision: np.ndarray | None = None) -> None:
    """Write a png: confusion matrix (rows: truth, in percent of the class) next to a bar for each class.

    Each class is labelled with its number of clips. Bars show accuracies, or average precisions if given.

    Args:
        path: File to write.
        labels: (N,) classes.
        predictions: (N,) classes. Negative predictions stand for no class and appear in no column.
        classes: Names by class number.
        title: Title of the plot.
        precision: (N,) average precision of each clip as a query, in 0..1; ``predictions`` are then the classes of the
            first clips found.
    """
    from matplotlib.figure import Figure
    classes, title = [plottable(name) for name in classes], plottable(title)
    present, supports = np.unique(labels, return_counts=True)
    table = np.zeros((len(classes), len(classes)))
    known = predictions >= 0
    np.add.at(table, (labels[known], predictions[known]), 1)
    table = 100 * table[present] / supports[:, None]
    size = np.clip(.28 * len(classes), 4, 22)
    figure = Figure(figsize=(2 * size + 3, size + 1.5), layout='constrained')
    matrix, bars = figure.subplots(1, 2, width_ratios=(1.2, 1))
    image = matrix.imshow(table, vmin=0, vmax=100, cmap='Blues', aspect='auto')
    figure.colorbar(image, ax=matrix, label='% of the class')
    matrix.set(xlabel='predicted' if precision is None else 'class of the first clip found', ylabel='true')
    matrix.set_xticks(range(len(classes)), classes, rotation=90)
    names = [f'{classes[c]} ({n})' for c, n in zip(present, supports, strict=True)]
    matrix.set_yticks(range(len(present)), names)
    if len(classes) <= NUMBERED:
        for i, j in np.argwhere(table > 0):
            matrix.text(j, i, f'{table[i, j]:.0f}', ha='center', va='center', fontsize=7,
                        color='white' if table[i, j] > 60 else 'black')
    if precision is None:
        values = np.array([table[i, c] for i, c in enumerate(present)])
        mean, about, what = values.mean(), 'mean over classes', 'accuracy'
    else:
        values = np.array([100 * precision[labels == c].mean() for c in present])
        mean, about, what = 100 * precision.mean(), 'mAP, mean over clips', 'average precision'
    drawn = bars.barh(range(len(present)), values)
    bars.bar_label(drawn, [f'{value:.1f}' for value in values], padding=2, fontsize=7)
    bars.axvline(float(mean), color='black', linestyle='--')
    bars.set(title=f'{about} {mean:.1f} %, {len(labels)} clips', xlabel=f'{what} %', xlim=(0, 110),
             ylim=(len(present) - .5, -.5))
    bars.set_yticks(range(len(present)), names)
    figure.suptitle(title)
    data = io.BytesIO()
    figure.savefig(data, format='png', dpi=80)
    write_atomically(path, data.getvalue())
