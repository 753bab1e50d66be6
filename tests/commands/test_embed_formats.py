"""Features as parquet and for TensorBoard's projector; the npz is tested with the Python interface."""
import sys

import numpy as np
import pytest

from mmskelssl import cli
from mmskelssl.commands.feature_files import save_features
from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import Features
from mmskelssl.inference.extractor import FeatureExtractor
from mmskelssl.layouts import get_layout
from mmskelssl.visualization import projector

FEATURES = Features(np.arange(12, dtype=np.float32).reshape(3, 4), np.array([1, -1, 0]), ['a', 'b', 'c'])


def test_parquet(tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    save_features(str(tmp_path / 'a.parquet'), FEATURES, ['walk', 'jump'], {'start': np.array([0., .5, 1.])})
    table = parquet.read_table(tmp_path / 'a.parquet')
    assert table.column_names == ['id', 'label', 'class', 'feature', 'start']
    assert table['id'].to_pylist() == ['a', 'b', 'c'] and table['class'].to_pylist() == ['jump', None, 'walk']
    assert np.array_equal(table['feature'].to_pylist(), FEATURES.feats) and table['label'].to_pylist() == [1, -1, 0]
    assert str(table.schema.field('feature').type) == 'fixed_size_list<element: float>[4]'


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(UserError, match='parquet needs pyarrow: pip install pyarrow, or write an npz'):
        save_features(str(tmp_path / 'a.parquet'), FEATURES, [])
    save_features(str(tmp_path / 'a.npz'), FEATURES, [])
    assert [path.name for path in tmp_path.iterdir()] == ['a.npz']


def test_the_command(tiny_store, tmp_path, capsys):
    """One point, one row of metadata and one picture for each clip, in the same order as the npz."""
    config = dict(type='FrozenEncoder', backbone=dict(type='TemporalConvNet', layout='ntu25', channels=(8, 16)),
                  data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25'))
    steps = [dict(type='SelectPersons', max_persons=1), dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]
    info = dict(model=config, method='SimCLR', dataset=describe_data(dict(pipeline=steps), layout='ntu25'))
    FeatureExtractor._of('here', build_model(config, 'here', 0).eval(), info, 'cpu').save_pretrained(tmp_path / 'model')
    command = ['embed', str(tmp_path / 'model'), '--data', tiny_store, '--split', 'test',
               '--out', str(tmp_path / 'a.npz'), '--tensorboard', str(tmp_path / 'board')]
    cli.main(command)
    assert '16 points, pictures of 96 pixels; show them with tensorboard --logdir' in capsys.readouterr().out
    folder, = (path for path in (tmp_path / 'board').iterdir() if path.is_dir())
    with np.load(tmp_path / 'a.npz') as file:
        points = np.loadtxt(folder / 'features' / 'tensors.tsv', delimiter='\t')
        np.testing.assert_allclose(points, file['features'], rtol=1e-5, atol=1e-6)
        names = [file['classes'][label] for label in file['labels']]
        rows = [line.split('\t') for line in (folder / 'features' / 'metadata.tsv').read_text().splitlines()]
        assert rows == [['id', 'class'], *([name, label] for name, label in zip(file['ids'], names, strict=True))]
    from PIL import Image
    sheet = np.asarray(Image.open(folder / 'features' / 'sprite.png').convert('L'))
    assert sheet.shape == (4 * 96, 4 * 96) and all(
        sheet[y:y + 96, x:x + 96].std() > 5 for y in range(0, 384, 96) for x in range(0, 384, 96))
    with pytest.raises(SystemExit):
        cli.main(command)
    assert 'already holds embeddings' in capsys.readouterr().err


def test_pictures_show_their_clips(tiny_store):
    store = SkeletonStore(tiny_store)
    made = projector.draw_pictures(store.keypoints, 4, store.layout, 48)
    assert made.shape == (4, 3, 48, 48) and 0 <= made.min() < made.max() <= 1
    assert min(np.abs(made[i] - made[j]).max() for i in range(4) for j in range(i)) > .2
    empty = projector.draw_pictures(lambda i: np.zeros((1, 3, 25, 3), np.float32), 1, get_layout('ntu25'), 48)
    assert np.isfinite(empty).all()


def test_many_clips():
    """Pictures shrink with their number, so that the sheet and its memory stay within bounds."""
    sides = [projector.picture_side(count) for count in (1, 1000, 10_000, 60_000, 200_000)]
    assert sides[0] == sides[1] == 96 and sides == sorted(sides, reverse=True) and sides[2] > 40 and sides[-1] == 0
    assert all(12 * count * side ** 2 <= 1 << 28 for count, side in zip((1, 1000, 10_000), sides, strict=False))


def test_another_suffix_is_refused_before_the_work(capsys):
    with pytest.raises(SystemExit):
        cli.main(['embed', 'unused', '--out', 'features.csv'])
    assert '--out features.csv: the suffix must be .npz or .parquet' in capsys.readouterr().err
