"""Draws the features of clips in two dimensions (t-SNE; van der Maaten and Hinton, JMLR 2008)."""
import numpy as np

from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.evaluation.features import extract_features
from mmskelssl.evaluation.projection import tsne
from mmskelssl.inference.encoder import move_to, pair_with_data
from mmskelssl.visualization.scatter import draw_scatter

CLASSES, CLIPS = 10, 2000  # more are neither distinguishable nor quick


def draw_tsne(path: str, out: str, data: str | None = None, split: str = 'test', title: str = '', seed: int = 0,
              device: str | None = None) -> None:
    """Draw the clips of a split, coloured by class.

    Of a store with more than 10 classes, 10 evenly spaced ones are drawn, and of these at most 2,000 evenly spaced
    clips. The picture says so.

    Args:
        path: Checkpoint.
        out: Picture to write.
        data: Store. Default: the one that the encoder was trained on.
        split: Split of the store.
        seed: Seed of the optimisation.
        device: Default: the GPU if there is one.
    """
    encoder = pair_with_data(path, *build_from_checkpoint(path), data)
    move_to(encoder.model, device)
    features = extract_features(encoder.model, encoder.dataset(split))
    rows = _shown(features.labels)
    classes = encoder.store.classes or [str(label) for label in range(features.labels.max() + 1)]
    shown = features.take(rows)
    what = f'{len(shown)} of {len(features)} clips' if len(shown) < len(features) else f'{len(shown)} clips'
    draw_scatter(out, tsne(shown.feats, seed), shown.labels, classes, f'{title or encoder.method}: t-SNE of {what}')
    print(out)


def _shown(labels: np.ndarray) -> np.ndarray:
    present = np.unique(labels)
    few = present[np.linspace(0, len(present) - 1, min(len(present), CLASSES)).round().astype(int)]
    rows = np.flatnonzero(np.isin(labels, few))
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), CLIPS)).round().astype(int)]
