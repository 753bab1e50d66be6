"""t-SNE pictures: which clips are drawn, and that clusters stay apart."""
import numpy as np
import pytest

from mmskelssl.commands import embedding
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features
from mmskelssl.evaluation.projection import tsne
from mmskelssl.visualization.scatter import draw_scatter


def features(count, classes=3):
    rng, labels = np.random.default_rng(0), np.arange(count) % classes
    feats = 20 * np.eye(8)[labels % 8] + rng.normal(size=(count, 8))
    return Features(feats.astype('f4'), labels, [f'clip{i}' for i in range(count)])


def test_clusters_stay_apart():
    made = features(60)
    points = tsne(made.feats)
    centres = np.stack([points[made.labels == label].mean(0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert (nearest == made.labels).mean() > .95
    assert (points == tsne(made.feats)).all()  # the seed decides


def test_few_clips_are_refused():
    with pytest.raises(UserError, match='at least 4 clips; there are 3'):
        tsne(features(3).feats)


def test_at_most_ten_classes_and_two_thousand_clips():
    labels = np.arange(60_000) % 60
    rows = embedding._shown(labels)
    assert len(rows) == 2000 and len(set(labels[rows])) == 10 and {0, 59} <= set(labels[rows])
    assert (embedding._shown(np.arange(20) % 4) == np.arange(20)).all()


def test_picture(tmp_path):
    made = features(12, 4)
    draw_scatter(str(tmp_path / 'x.png'), made.feats[:, :2], np.where(made.labels == 3, -1, made.labels),
                 ['a', '$b', 'c'], 'title with $ and $')
    assert (tmp_path / 'x.png').read_bytes().startswith(b'\x89PNG')
