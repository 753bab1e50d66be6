"""Plot the errors of a classifier."""
import io
from collections.abc import Sequence

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import printable


def _plain(text: str) -> str:
    """Escape dollar signs. Matplotlib parses text between two of them as mathematics and fails if it is not."""
    return printable(text).replace('$', r'\$')


def draw_errors(path: str, labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Write a png with the confusion matrix (rows: truth, in percent of the class) and the accuracies per class.

    Args:
        path: File to write.
        labels: (N,) classes.
        predictions: (N,) classes. Negative predictions stand for no class and appear in no column.
        classes: Names by class number.
        title: Title of the plot.
    """
    from matplotlib.figure import Figure
    classes, title = [_plain(name) for name in classes], _plain(title)
    present = np.unique(labels)
    table = np.zeros((len(classes), len(classes)))
    known = predictions >= 0
    np.add.at(table, (labels[known], predictions[known]), 1)
    table = 100 * table[present] / np.array([(labels == c).sum() for c in present])[:, None]
    size = np.clip(.28 * len(classes), 4, 22)
    figure = Figure(figsize=(2 * size + 3, size + 1.5), layout='constrained')
    matrix, bars = figure.subplots(1, 2, width_ratios=(1.2, 1))
    image = matrix.imshow(table, vmin=0, vmax=100, cmap='Blues', aspect='auto')
    figure.colorbar(image, ax=matrix, label='% of the class')
    matrix.set(xlabel='predicted', ylabel='true')
    matrix.set_xticks(range(len(classes)), classes, rotation=90)
    matrix.set_yticks(range(len(present)), [classes[c] for c in present])
    accuracy = [table[i, c] for i, c in enumerate(present)]
    bars.barh(range(len(present)), accuracy)
    bars.axvline(float(np.mean(accuracy)), color='black', linestyle='--')
    bars.set(title=f'mean over classes {np.mean(accuracy):.1f} %', xlabel='accuracy %', xlim=(0, 100),
             ylim=(len(present) - .5, -.5))
    bars.set_yticks(range(len(present)), [classes[c] for c in present])
    figure.suptitle(title)
    data = io.BytesIO()
    figure.savefig(data, format='png', dpi=80)
    write_atomically(path, data.getvalue())
