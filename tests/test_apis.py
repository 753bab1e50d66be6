"""The Python API: features and classes of in-memory clips, compared with a store of the same clips."""
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform

import mmskelssl
from mmskelssl import apis
from mmskelssl.apis import FeatureExtractor, SkeletonInferencer, list_methods
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine import plugins
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.features import extract_features
from mmskelssl.evaluation.linear import linear_probe
from mmskelssl.models import SelfSupervisedModel, SkeletonClassifier, methods
from mmskelssl.registry import MODELS, TRANSFORMS
from tests.conftest import StoreWriter
from tools import extract_features as tool

SMALL = {'simclr': {'model.backbone.channels': (8, 8, 16, 16)},
         # Padded clips of different lengths. The encoder uses the true lengths.
         'crrlmotion': {'model.backbone.hidden_channels': 4}}


@pytest.fixture(scope='module')
def checkpoints(tiny_store, tmp_path_factory):
    """Map each method to a checkpoint of one epoch on the tiny store."""
    folder = tmp_path_factory.mktemp('encoders')
    return {name: train(f'configs/{name}_toy.py', str(folder / name), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8, **options})
        for name, options in SMALL.items()}


@pytest.fixture(scope='module')
def extractor(checkpoints):
    return FeatureExtractor(checkpoints['simclr'], 'cpu')


def clips_of(store, split='all'):
    store = SkeletonStore(store)
    return [np.array(store.keypoints(i)) for i in store.split(split)]


def edited(path, checkpoint, change):
    """Return a copy of a checkpoint with a changed description."""
    content = torch.load(checkpoint, weights_only=True)
    info = content['meta']['mmskelssl']
    description = {key: json.loads(info[key]) for key in ('model', 'dataset')}
    change(description)
    info.update({key: json.dumps(value) for key, value in description.items()})
    torch.save(content, path)
    return path


def test_methods():
    class Mine(methods.SimCLR):
        pass

    ours = {name for name in methods.__all__ if issubclass(getattr(methods, name), SelfSupervisedModel)}
    assert {'AimCLR', 'CRRL', 'SimCLR'} <= ours and SkeletonClassifier.__name__ not in list_methods()
    assert ours <= set(list_methods()) and 'Mine' not in list_methods()
    MODELS.register_module(module=Mine)
    try:
        assert 'Mine' in list_methods() and list_methods() == sorted(list_methods())
    finally:
        MODELS.module_dict.pop('Mine')


def test_an_empty_batch_is_refused(checkpoints, tiny_store):
    with pytest.raises(UserError, match='batch size must be at least 1, got 0'):
        FeatureExtractor(checkpoints['simclr'], 'cpu', batch_size=0).of_store(tiny_store)


@pytest.mark.parametrize('name', [*SMALL])
def test_clips_in_memory_have_the_features_of_a_store(checkpoints, tiny_store, name):
    """A store of the same clips, read with the data set of pre-training."""
    extractor = FeatureExtractor(checkpoints[name], 'cpu', batch_size=20)  # several batches, the last one smaller
    clips = clips_of(tiny_store)
    made = extractor(clips)
    model, info = build_from_checkpoint(checkpoints[name])
    expected = extract_features(model, build_dataset(info['dataset'], 'all', 'here'), 20)
    assert made.shape == (48, model.feat_channels) and made.dtype == np.float32
    assert (made == expected.feats).all()
    assert made.std(0).mean() > 1e-4 and len(np.unique(made, axis=0)) == 48
    whole = extractor.of_store(tiny_store)
    assert (whole.feats == made).all() and whole.ids == expected.ids and (whole.labels == expected.labels).all()
    test = extractor.of_store(split='test')  # from the store named in the checkpoint
    rows = SkeletonStore(tiny_store).split('test')
    np.testing.assert_allclose(test.feats, made[rows], rtol=1e-4, atol=1e-6)
    assert test.ids == [whole.ids[row] for row in rows]


def test_lists_and_arrays(extractor, tiny_store):
    clips = [clip[:, :8] for clip in clips_of(tiny_store) if len(clip) == 2][:5]
    stacked = np.stack(clips)  # (N, M, T, V, C)
    expected = extractor(clips)
    assert (extractor(stacked) == expected).all()
    assert (extractor(torch.from_numpy(stacked)) == expected).all()
    assert (extractor(stacked.astype(np.float64)) == expected).all()
    alone = extractor(stacked[:, 0])  # (N, T, V, C)
    assert (extractor([clip[0] for clip in clips]) == alone).all() and (extractor(stacked[:, :1]) == alone).all()
    assert (alone != expected).any(1).all()
    np.testing.assert_allclose(extractor([clips[3]])[0], expected[3], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('change, message', [
    (lambda clip: clip[:, :, :20], r'clip 1 has shape \(\d, \d+, 20, 3\), expected \(T, 25, 3\) or .*ntu25'),
    (lambda clip: clip[..., :2], r'clip 1 has shape \(\d, \d+, 25, 2\), expected \(T, 25, 3\)'),
    (lambda clip: clip[0, 0], r'clip 1 has shape \(25, 3\)'),
    (lambda clip: clip[:, :0], r'clip 1 has shape \(\d, 0, 25, 3\), .* one frame or more'),
    (lambda clip: clip[:0], r'clip 1 has shape \(0, '),
    (lambda clip: clip * np.nan, 'clip 1 contains NaN or Inf; fill its gaps'),
    (lambda clip: np.where(clip == clip.max(), 1e39, clip.astype(float)), 'clip 1 contains NaN or Inf'),
    (lambda clip: clip * 0, 'clip 1: every coordinate is zero'),
    (lambda clip: clip.astype(str), 'clip 1 is an array of <U'),
    (lambda clip: [clip[0].tolist(), [1.]], 'clip 1 is not an array'),
    (lambda clip: torch.tensor(clip, requires_grad=True), 'clip 1 is not an array')])
def test_a_bad_clip_is_named(extractor, tiny_store, change, message):
    clips = clips_of(tiny_store)[:3]
    with pytest.raises(UserError, match=message):
        extractor([clips[0], change(clips[1]), clips[2]])


def test_bad_calls(extractor, tiny_kinect_store, checkpoints, tmp_path):
    for nothing in ([], np.zeros((0, 8, 25, 3))):
        with pytest.raises(UserError, match='expected at least one clip, got none'):
            extractor(nothing)
    with pytest.raises(UserError, match=r'shape \(8, 25, 3\).*put a single clip into a list'):
        extractor(np.ones((8, 25, 3)))
    with pytest.raises(UserError, match="'kinect20' with 3 coordinates .* on 'ntu25' with 3; choose another"):
        extractor.of_store(tiny_kinect_store)
    with StoreWriter(tmp_path / 'flat', 'ntu25', channels=2) as writer:
        writer.add('a', np.ones((1, 8, 25, 2)))
    with pytest.raises(UserError, match="'ntu25' with 2 coordinates .* on 'ntu25' with 3; choose another"):
        extractor.of_store(tmp_path / 'flat')
    with pytest.raises(UserError, match="device 'gpu' cannot be used"):
        FeatureExtractor(checkpoints['simclr'], 'gpu')
    with pytest.raises(UserError, match='cannot import no_such_plugin'):
        FeatureExtractor(checkpoints['simclr'], imports=['no_such_plugin'])


def test_descriptions_that_do_not_do(checkpoints, tiny_store, tmp_path):
    def runs_code(description):
        description['dataset']['pipeline'][0]['type'] = 'subprocess.run'

    def no_data(description):
        del description['dataset']['store']

    def no_length(description):
        description['dataset']['pipeline'] = [
            step for step in description['dataset']['pipeline'] if step['type'] != 'ResizeFrames']

    def file(change):
        return edited(tmp_path / 'a.pth', checkpoints['simclr'], change)

    with pytest.raises(UserError, match="a.pth: .*type 'subprocess.run' is not registered"):
        FeatureExtractor(file(runs_code))
    with pytest.raises(UserError, match='a.pth: does not say how its clips were preprocessed'):
        FeatureExtractor(file(lambda description: description['dataset'].pop('pipeline')))
    extractor = FeatureExtractor(file(no_data), 'cpu')
    with pytest.raises(UserError, match='a.pth: does not name its data'):
        extractor.of_store()
    assert len(extractor.of_store(tiny_store, 'test')) == 16
    clips = clips_of(tiny_store)
    with pytest.raises(UserError, match='clip 2 has shape .* after preprocessing, but the first one'):
        FeatureExtractor(file(no_length), 'cpu', batch_size=2)([clips[0], clips[0], clips[1]])


def test_clips_stay_as_they_are(checkpoints, tiny_store, tmp_path, monkeypatch):
    """Clips are not modified even if a plug-in's transform works in place, and the transform takes effect."""
    class Lift(BaseTransform):
        def transform(self, results):
            results['keypoint'] *= 2
            return results

    path = edited(tmp_path / 'a.pth', checkpoints['simclr'],
                  lambda description: description['dataset']['pipeline'].insert(0, dict(type='Lift')))
    clip = clips_of(tiny_store)[0]
    with pytest.raises(UserError, match="type 'Lift' is not registered as a transform"):
        FeatureExtractor(path)
    TRANSFORMS.register_module(module=Lift)
    try:
        with pytest.raises(UserError, match='class of the module test_apis, .* name that module with --imports'):
            FeatureExtractor(path)
        monkeypatch.setattr(plugins, '_trusted', {__name__})
        lifted, before = FeatureExtractor(path, 'cpu'), clip.copy()
        made = lifted([clip])
        assert (clip == before).all()
        assert (made == FeatureExtractor(checkpoints['simclr'], 'cpu')([2 * clip])).all()
    finally:
        TRANSFORMS.module_dict.pop('Lift')


def test_inferencer_learns(checkpoints, tiny_store):
    inferencer = SkeletonInferencer(checkpoints['simclr'], tiny_store, device='cpu')
    store = SkeletonStore(tiny_store)
    assert inferencer.classes == store.classes
    names, scores = inferencer(clips_of(tiny_store, 'train'))
    truth = [store.classes[label] for label in store.labels[store.split('train')]]
    assert np.mean([name == true for name, true in zip(names, truth, strict=True)]) > .7  # chance .25
    names, scores = inferencer(clips_of(tiny_store, 'test'))
    assert names == [store.classes[i] for i in scores.argmax(1)]
    train, test = (inferencer.extractor.of_store(tiny_store, split) for split in ('train', 'test'))
    expected = linear_probe(train.feats, train.labels, test.feats, 'logreg', num_classes=4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_inferencer_without_names_or_labels(checkpoints, tiny_store, tmp_path):
    source = SkeletonStore(tiny_store)
    with StoreWriter(tmp_path / 'numbers', 'ntu25') as writer:
        for i in range(24):
            writer.add(str(i), source.keypoints(i), int(source.labels[i]))
        writer.set_split('train', map(str, range(24)))
    inferencer = SkeletonInferencer(checkpoints['simclr'], tmp_path / 'numbers', device='cpu')
    names, scores = inferencer([source.keypoints(0)])
    assert inferencer.classes == ['0', '1', '2', '3'] and scores.shape == (1, 4) and names == [str(scores[0].argmax())]
    with StoreWriter(tmp_path / 'bare', 'ntu25') as writer:
        writer.add('a', source.keypoints(0))
        writer.set_split('train', ['a'])
    with pytest.raises(UserError, match='1 of 1 clips have no label'):
        SkeletonInferencer(checkpoints['simclr'], tmp_path / 'bare', device='cpu')


def test_tool(checkpoints, extractor, tiny_store, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['extract_features.py', checkpoints['simclr'], *map(str, arguments)])
        tool.main()
        return capsys.readouterr().out

    out, store = tmp_path / 'new' / 'features.npz', SkeletonStore(tiny_store)
    assert run('--data', tiny_store, '--split', 'test', '--out', out, '--device', 'cpu') == \
        f"{out}: features (16, {extractor.model.feat_channels}) of split 'test'\n"
    expected = extractor.of_store(tiny_store, 'test')
    with np.load(out, allow_pickle=False) as file:
        assert sorted(file) == ['classes', 'features', 'ids', 'labels']
        assert (file['features'] == expected.feats).all() and file['features'].dtype == np.float32
        assert (file['labels'] == expected.labels).all() and file['ids'].tolist() == expected.ids
        assert file['classes'].tolist() == store.classes
    beside = checkpoints['simclr'].removesuffix('.pth') + '_features_tiny_all.npz'
    assert run('--device', 'cpu').startswith(f'{beside}: features (48, ')  # all clips of the checkpoint's own store
    with np.load(beside, allow_pickle=False) as file:
        assert file['ids'].tolist() == store.ids and file['classes'].tolist() == store.classes
    (taken := tmp_path / 'new.npz').mkdir()
    with pytest.raises(SystemExit):
        run('--out', taken)
    error, = capsys.readouterr().err.splitlines()
    assert error.startswith(f'error: {taken} cannot be written') and {*tmp_path.iterdir()} == {out.parent, taken}


def test_names_of_the_package():
    """The package offers the functions without importing them; a test of the commands counts the modules."""
    assert mmskelssl.train is apis.train and mmskelssl.SkeletonFeatures is apis.SkeletonFeatures
    assert set(mmskelssl.__all__) <= set(dir(mmskelssl)) and 'simclr_toy' in mmskelssl.list_configs()
    for module in (mmskelssl, apis):
        with pytest.raises(AttributeError, match="has no attribute 'trian'"):
            getattr(module, 'tr' + 'ian')


@pytest.mark.parametrize('call, message', [
    (lambda: mmskelssl.train('simclr_toy', workdir='x'), 'workdir: no such option; did you mean work_dir?'),
    (lambda: mmskelssl.train('simclr_toy', launcher='torchrun'), "launcher is 'torchrun'; it must be one of none,"),
    (lambda: mmskelssl.train('simclr_tyo'), 'simclr_tyo: no such config; did you mean simclr_toy'),
    (lambda: mmskelssl.evaluate('a.pth', recipe='1nn'), 'recipe: no such option; did you mean recipes?'),
    (lambda: mmskelssl.evaluate('a.pth', zzz=1), 'zzz: no such option; there are another, batch_size, data'),
    (lambda: mmskelssl.evaluate([]), 'checkpoints: expected at least one'),
    (lambda: mmskelssl.evaluate('missing.pth'), 'missing.pth: no such checkpoint file')])
def test_mistakes_in_calls(call, message):
    with pytest.raises(UserError, match=re.escape(message)):
        call()


def test_build_model(tiny_store):
    options = {'data.store': tiny_store, 'model.backbone.channels': (8, 8, 16, 16)}
    model, twin, other = (mmskelssl.build_model('simclr_toy', options, seed) for seed in (1, 1, 2))
    assert type(model).__name__ == 'SimCLR' and model.feat_channels == 32  # mean and maximum
    weights = [net.backbone.layers[1].weight for net in (model, twin, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_evaluate(checkpoints, tmp_path):
    rows = mmskelssl.evaluate(Path(checkpoints['simclr']), 'knn', tmp_path / 'out', recipes=['1nn'], pictures=False,
                              device='cpu')
    assert [row['encoder'] for row in rows] == ['SimCLR'] and 0 <= rows[0]['top1'] <= 100
    assert json.loads((tmp_path / 'out' / 'results.json').read_text())['results'][0]['top1'] == rows[0]['top1']
