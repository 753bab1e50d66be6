"""An encoder of two layouts: measured on both, on clips of a third, saved, and below a classifier."""
import json

import numpy as np
import pytest
import torch

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier, evaluate
from mmskelssl.cli import main
from mmskelssl.commands.measure import evaluate_with_config
from mmskelssl.datasets.skeleton_dataset import SkeletonDataset
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.inference.graphs import open_model
from mmskelssl.layouts import get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from tests.conftest import write_tiny_store


@pytest.fixture(scope='module')
def checkpoint(pool_run) -> str:
    return str(pool_run / 'epoch_2.pth')


@pytest.fixture(scope='module')
def extractor(checkpoint):
    return FeatureExtractor(checkpoint, 'cpu')


@pytest.fixture(scope='module')
def sbu_store(tmp_path_factory) -> str:
    return write_tiny_store(tmp_path_factory.mktemp('pooled') / 'sbu', 'sbu15', persons=2, samples=24)


def expected_features(checkpoint, store: str, pipeline: list[dict], split: str) -> np.ndarray:
    """Prepare the clips of a store with its own layout, place the joints by name, and encode them."""
    model, _ = build_from_checkpoint(checkpoint)
    union, layout = model.backbone.layout, SkeletonStore(store).layout
    data = SkeletonDataset(store, split, pipeline)
    clips = data.__getitems__(list(range(len(data))))
    own = SkeletonPreprocessor(layout, velocity=True)(clips)['inputs']
    x = torch.zeros(*own.shape[:3], union.num_joints, 2)
    for name, joint in layout.named.items():
        x[:, :, :, union.joints.index(name), :own.shape[4]] = own[:, :, :, joint]
    with torch.no_grad():
        return model.extract_feat(x, clips['data_samples']['num_frames']).numpy()


def pipeline_of(checkpoint, place: int) -> list[dict]:
    return build_from_checkpoint(checkpoint)[1]['dataset']['stores'][place]['pipeline']


def test_each_store_is_prepared_as_in_training(extractor, checkpoint, tiny_store, tiny_kinect_store):
    for place, (store, name) in enumerate(((tiny_store, 'tiny'), (tiny_kinect_store, 'kinect'))):
        expected = expected_features(checkpoint, store, pipeline_of(checkpoint, place), 'test')
        for given in (store, name):  # a folder, or a name of the pool
            found = extractor.of_store(given, 'test')
            np.testing.assert_allclose(found.feats, expected, atol=1e-5)
    assert extractor.for_store('kinect').layout == get_layout('kinect20')
    with pytest.raises(UserError, match='trained on several stores: choose one .* one of tiny, kinect'):
        extractor.of_store()


def test_a_store_of_a_third_layout(extractor, checkpoint, sbu_store, capsys):
    """All of its joints have a name that a layout of the pool has. The preprocessing is that of data.pipeline."""
    common = build_from_checkpoint(checkpoint)[1]['dataset']['pipeline']
    found = extractor.of_store(sbu_store, 'test')
    np.testing.assert_allclose(found.feats, expected_features(checkpoint, sbu_store, common, 'test'), atol=1e-5)
    note = capsys.readouterr().out
    assert note.startswith(f"note: {checkpoint} was not trained on layout 'sbu15', which has 15 of the 25 joints; "
                           'missing: ')
    missing = set(build_from_checkpoint(checkpoint)[0].backbone.layout.joints) - set(get_layout('sbu15').named)
    assert set(note.strip().partition('missing: ')[2].split(', ')) == missing


def test_a_joint_that_the_encoder_does_not_know_is_refused(extractor, tmp_path):
    store = write_tiny_store(tmp_path / 'smpl', 'smpl22', 1, samples=12)
    with pytest.raises(UserError, match=r"layout 'smpl22' has joints that .* was not trained on "
                                        r'\(spine1, spine3, left_collar, right_collar\): .*prepare convert'):
        extractor.of_store(store)


def test_evaluate_measures_every_store(checkpoint, sbu_store, tmp_path, capsys):
    rows = evaluate(checkpoint, 'knn', tmp_path / 'all', recipes=['1nn'], untrained=True, pictures=False)
    assert [(row['data'], row['encoder']) for row in rows] == [
        ('tiny', 'untrained'), ('tiny', 'SimCLR'), ('tiny_kinect', 'untrained'), ('tiny_kinect', 'SimCLR')]
    assert {row['pretrain_data'] for row in rows} == {'tiny+kinect'} and len({row['data_hash'] for row in rows}) == 2
    one, = evaluate(checkpoint, 'knn', tmp_path / 'one', recipes=['1nn'], data='kinect', pictures=False)
    assert one['top1'] == rows[3]['top1']
    other, = evaluate(checkpoint, 'knn', tmp_path / 'other', recipes=['1nn'], data=sbu_store, pictures=False)
    assert other['data'] == 'sbu' and other['num_test'] == 8
    assert "was not trained on layout 'sbu15'" in capsys.readouterr().out


def test_streams_are_fused_store_by_store(checkpoint, tmp_path):
    from mmskelssl.commands.measure import ensemble_checkpoints
    rows = ensemble_checkpoints([checkpoint, checkpoint.replace('epoch_2', 'epoch_1')], str(tmp_path), 'validation',
                                recipes=['logreg'], pictures=False)
    fused = [row for row in rows if row['protocol'] == 'ensemble' or '3s' in str(row['stream']) or 'members' in row]
    assert len(rows) == 6 and len(fused) == 2 and {row['data'] for row in fused} == {'tiny', 'tiny_kinect'}


def test_a_store_without_labels_is_left_out_with_a_note(checkpoint, monkeypatch, tmp_path, capsys):
    real = SkeletonStore.labels.func
    monkeypatch.setattr(SkeletonStore, 'labels', property(
        lambda store: real(store) - 9 * store.path.endswith('tiny_kinect')))
    rows = evaluate(checkpoint, 'knn', tmp_path, recipes=['1nn'], pictures=False)
    assert [row['data'] for row in rows] == ['tiny'] and 'note: kinect is not measured: it has no labels' in \
        capsys.readouterr().out


def test_the_command_test_takes_a_store_of_the_pool(checkpoint, pool_options, tmp_path):
    from mmskelssl.shipped import find_config
    rows = evaluate_with_config(find_config('simclr_toy'), checkpoint, ['knn'], str(tmp_path), data='kinect',
                                cfg_options=pool_options, recipes=['1nn'], pictures=False)
    assert [row['data'] for row in rows] == ['tiny_kinect']


def test_arrays_need_a_layout(extractor, checkpoint):
    clip = np.random.default_rng(0).normal(size=(9, 20, 3)).astype(np.float32)
    with pytest.raises(UserError, match='trained on the layouts ntu25, kinect20: say which one .* layout=...'):
        extractor([clip])
    made = FeatureExtractor(checkpoint, 'cpu', layout='kinect20')
    assert made([clip]).shape == (1, 32) and made.layout == get_layout('kinect20')
    np.testing.assert_array_equal(made([clip]), extractor.for_layout('kinect20')([clip]))
    with pytest.raises(UserError, match='expected .* 20'):
        made([clip[:, :19]])


def test_a_saved_encoder_knows_its_pool(extractor, tiny_kinect_store, tmp_path):
    extractor.save_pretrained(tmp_path / 'saved')
    text = (tmp_path / 'saved/config.json').read_text()
    assert tiny_kinect_store not in text  # no paths
    stores = json.loads(text)['members'][0]['dataset']['stores']
    assert [store['about']['name'] for store in stores] == ['tiny', 'kinect']
    card = (tmp_path / 'saved/README.md').read_text()
    assert 'pre-trained on tiny \\+ kinect' in card or 'pre-trained on tiny + kinect' in card
    assert "layout='ntu25'" in card
    loaded = FeatureExtractor.from_pretrained(tmp_path / 'saved', 'cpu')
    np.testing.assert_array_equal(loaded.of_store(tiny_kinect_store, 'test').feats,
                                  extractor.of_store(tiny_kinect_store, 'test').feats)
    chosen = FeatureExtractor.from_pretrained(tmp_path / 'saved', 'cpu', layout='kinect20')
    assert chosen.layout == get_layout('kinect20') and not chosen.is_open


def test_a_classifier_is_of_one_layout(extractor, tiny_kinect_store, tmp_path):
    classifier = fit_classifier([extractor], tiny_kinect_store, fps=30, left_out=0)
    classifier.save_pretrained(tmp_path / 'made')
    loaded = SkeletonClassifier.from_pretrained(tmp_path / 'made', 'cpu')
    store = SkeletonStore(tiny_kinect_store)
    clips = [np.array(store.keypoints(i)) for i in store.split('test')]
    assert loaded.layout == get_layout('kinect20') and len(loaded(clips)) == 16
    feats = extractor.of_store(tiny_kinect_store, 'test').feats
    np.testing.assert_allclose(loaded.networks[0](clips), feats, atol=1e-4)


def test_embed_and_export(checkpoint, sbu_store, tmp_path, capsys):
    main(['embed', checkpoint, '--data', 'kinect', '--split', 'test', '--out', str(tmp_path / 'a.npz')])
    with np.load(tmp_path / 'a.npz') as made:
        assert made['features'].shape == (16, 32)
    main(['embed', checkpoint, '--data', sbu_store, '--split', 'test', '--fps', '30', '--out', str(tmp_path / 'b.npz')])
    with np.load(tmp_path / 'b.npz') as made:
        assert made['features'].shape == (8, 32)
    for arguments, message in ((['embed', checkpoint], 'choose one with --data'),
                               (['export', checkpoint, str(tmp_path / 'a.pt2')], 'add --layout with one of ntu25, ki')):
        with pytest.raises(SystemExit):
            main(arguments)
        assert message in capsys.readouterr().err


def test_a_graph_of_one_layout(checkpoint, extractor, tiny_kinect_store):
    from mmskelssl.inference.onnx import make_graph
    graph = make_graph(open_model(checkpoint, layout='kinect20'), 'here')
    data = extractor.for_store(tiny_kinect_store).dataset(tiny_kinect_store, 'test')
    clips = data.__getitems__([0, 1, 2])['inputs']
    with torch.no_grad():
        exported = torch.export.export(graph, graph.example).module()
        made = exported(*graph.example)
        found = graph(clips) if len(graph.example) == 1 else graph(clips, torch.full((3,), 24))
    assert made.isfinite().all()
    np.testing.assert_allclose(found.numpy(), extractor.of_store(tiny_kinect_store, 'test').feats[:3], atol=1e-4)
    # Not every store has as many persons. The graph of a layout takes as many as its pipeline makes: here two, the
    # second of which is absent.
    alone = clips[:, :, :graph.example[0].shape[2]]
    two = torch.nn.functional.pad(alone, (0, 1))
    assert two.shape == graph.example[0].shape
    with torch.no_grad():
        torch.testing.assert_close(exported(two), graph(alone))
