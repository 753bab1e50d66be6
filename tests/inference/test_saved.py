"""Saved models: what comes back is what was saved, and a hostile folder is refused in one line."""
import json
import os
import shutil
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmskelssl.apis import FeatureExtractor, SkeletonClassifier
from mmskelssl.cli import main
from mmskelssl.datasets.skeleton_dataset import describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference import weights as weights_file
from mmskelssl.inference.saved import read
from mmskelssl.registry import MODELS


@pytest.fixture(scope='module')
def extractor(encoder_checkpoint):
    return FeatureExtractor(encoder_checkpoint, 'cpu', fps=30)


@pytest.fixture(scope='module')
def folder(extractor, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('saved') / 'encoder'
    extractor.save_pretrained(path, data_licence='CC BY 4.0')
    return path


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / 'copy'))


def edit(folder: Path, change) -> None:
    file = folder / 'config.json'
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def clips(store) -> list[np.ndarray]:
    store = SkeletonStore(store)
    return [np.array(store.keypoints(i)) for i in range(12)]


def test_a_saved_encoder_gives_the_same_features(extractor, folder, tiny_kinect_store):
    loaded = FeatureExtractor.from_pretrained(folder, 'cpu')
    assert (loaded(clips(tiny_kinect_store)) == extractor(clips(tiny_kinect_store))).all()
    assert (loaded.layout, loaded.channels, loaded.fps, loaded.store) == (extractor.layout, 3, 30, None)
    split = loaded.of_store(tiny_kinect_store, 'test')
    assert (split.feats == extractor.of_store(tiny_kinect_store, 'test').feats).all()


def test_only_the_encoder_and_no_path_is_kept(folder, tiny_kinect_store):
    assert sorted(os.listdir(folder)) == ['README.md', 'config.json', 'model.safetensors']
    names = set(load_file(folder / 'model.safetensors'))
    assert names and all(name.startswith('0.backbone.') for name in names)
    text = (folder / 'config.json').read_text()
    config = json.loads(text)
    assert os.path.dirname(tiny_kinect_store) not in text and 'views' not in text
    assert config['members'][0]['dataset']['about']['name'] == 'tiny_kinect' and config['fps'] == 30
    card = (folder / 'README.md').read_text()
    assert '`kinect20`: 20 joints with 3 coordinates' in card and '30 frames per second' in card
    assert 'Licence of the training data: CC BY 4.0' in card and config['members'][0]['config_hash'] in card
    assert 'units: m' in card


def test_saved_again_and_in_half_precision(folder, tiny_kinect_store, tmp_path):
    loaded = FeatureExtractor.from_pretrained(folder, 'cpu')
    loaded.save_pretrained(tmp_path / 'half', half=True)
    assert (tmp_path / 'half' / 'README.md').read_text() == (folder / 'README.md').read_text()
    small = FeatureExtractor.from_pretrained(tmp_path / 'half', 'cpu')
    assert (tmp_path / 'half/model.safetensors').stat().st_size < .65 * (folder / 'model.safetensors').stat().st_size
    expected, made = loaded(clips(tiny_kinect_store)), small(clips(tiny_kinect_store))
    assert made.dtype == np.float32 and not (made == expected).all()
    np.testing.assert_allclose(made, expected, rtol=.02, atol=.02 * np.abs(expected).max())


def test_nothing_else_is_replaced(extractor, folder, copy, tmp_path):
    with pytest.raises(UserError, match='exists: choose another folder, or add --overwrite'):
        extractor.save_pretrained(copy)
    extractor.save_pretrained(copy, overwrite=True)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/notes.txt').write_text('mine')
    with pytest.raises(UserError, match='is not a saved model'):
        extractor.save_pretrained(tmp_path / 'other', overwrite=True)


def test_the_command(encoder_checkpoint, folder, tmp_path, capsys):
    main(['save', encoder_checkpoint, '--out', str(tmp_path / 'made'), '--fps', '30', '--data-licence', 'CC BY 4.0'])
    assert f'{tmp_path}/made: encoder of ' in capsys.readouterr().out
    for name in os.listdir(folder):
        assert (tmp_path / 'made' / name).read_bytes() == (folder / name).read_bytes()
    with pytest.raises(SystemExit):
        main(['save', encoder_checkpoint, '--out', str(tmp_path / 'new'), '--results', str(tmp_path / 'none.json')])
    assert 'none.json: no such file' in capsys.readouterr().err and not (tmp_path / 'new').exists()


def first(config) -> dict:
    return config['members'][0]


HOSTILE = {
    'foreign class': (lambda c: first(c)['model'].update(backbone=dict(type='subprocess.Popen', args='true')),
                      "type 'subprocess.Popen' is not registered as a backbone"),
    'foreign step': (lambda c: first(c)['dataset'].update(pipeline=[dict(type='os.system', command='true')]),
                     "type 'os.system' is not registered as a transform"),
    'pretrained path': (lambda c: first(c)['model']['backbone'].update(init_cfg=dict(checkpoint='/etc/passwd')),
                        'may not set init_cfg'),
    'another type': (lambda c: first(c)['model'].update(type='SimCLR'), r'members\[0\].model is not a FrozenEncoder'),
    'a number as model': (lambda c: first(c).update(model=3), r'members\[0\].model is a int, not an object'),
    'a path as method': (lambda c: first(c).update(method='../../x'), 'method is not a name'),
    'no pipeline': (lambda c: first(c)['dataset'].pop('pipeline'), 'does not say how its clips were preprocessed'),
    'no dataset': (lambda c: first(c).pop('dataset'), 'has no model or no dataset'),
    'no members': (lambda c: c.update(members=[]), 'members is not a list of 1 to 1'),
    'members': (lambda c: c.update(members=c['members'] * 2), 'members is not a list of 1 to 1'),
    'huge layer': (lambda c: first(c)['model']['backbone'].update(channels=[1 << 20] * 4), 'more than 1024 MiB'),
    'other shape': (lambda c: first(c)['model']['backbone'].update(channels=[8, 8, 16, 24]), 'keys of the model fit'),
    'version': (lambda c: c.update(version=2), 'format version 2, this program reads 1 to 1'),
    'format': (lambda c: c.pop('format'), 'not the config of a model'),
    'kind': (lambda c: c.update(kind='classifier'), 'model is not a SkeletonClassifier'),
    'fps': (lambda c: c.update(fps=-1), 'expected frames per second'),
    'fps text': (lambda c: c.update(fps='30'), 'expected frames per second'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_config_is_refused(copy, name):
    change, message = HOSTILE[name]
    edit(copy, change)
    with pytest.raises(UserError, match=message) as caught:
        FeatureExtractor.from_pretrained(copy, 'cpu')
    assert '\n' not in str(caught.value) and str(copy) in str(caught.value)


@pytest.mark.parametrize('text, message', [
    (b'{', 'not JSON'), (b'[]', 'a list, not a dict'), (b'{"fps": NaN}', 'NaN is not JSON'), (b'\xff', 'not text in'),
    (b'[' * 100_000, 'not JSON'), (b'', 'not JSON')])
def test_a_config_that_is_none(copy, text, message):
    (copy / 'config.json').write_bytes(text)
    with pytest.raises(UserError, match=message):
        FeatureExtractor.from_pretrained(copy)


def weights(change):
    def damage(folder: Path) -> None:
        tensors = load_file(folder / 'model.safetensors')
        change(tensors)
        save_file(tensors, folder / 'model.safetensors')
    return damage


def of_bytes(change):
    def damage(folder: Path) -> None:
        file = folder / 'model.safetensors'
        file.write_bytes(change(file.read_bytes()))
    return damage


def first_weight(tensors) -> str:
    return next(name for name in sorted(tensors) if tensors[name].dim() > 2)


BAD_WEIGHTS = {
    'NaN': (weights(lambda t: t[first_weight(t)].fill_(float('nan'))), 'NaN or infinite'),
    'lost': (weights(lambda t: t.pop(first_weight(t))), 'is missing'),
    'more': (weights(lambda t: t.update({'0.evil': torch.zeros(1)})), 'evil is not in the model'),
    'of another member': (weights(lambda t: t.update({'7.evil': torch.zeros(1)})), "'7.evil' belongs to no member"),
    'shape': (weights(lambda t: t.update({first_weight(t): torch.zeros(2)})), r'is \(2,\) instead of'),
    'integers': (weights(lambda t: t.update({first_weight(t): t[first_weight(t)].int()})), 'of int32 instead of'),
    'half a file': (of_bytes(lambda data: data[:len(data) // 2]), 'damaged'),
    'empty': (of_bytes(lambda data: b''), 'not a safetensors file'),
    'huge header': (of_bytes(lambda data: struct.pack('<Q', 1 << 60) + data[8:]), 'header is larger than'),
    'header past the end': (of_bytes(lambda data: struct.pack('<Q', len(data)) + data[8:]), 'not a safetensors file'),
    'a pickle': (lambda folder: torch.save(dict(a=torch.zeros(1)), folder / 'model.safetensors'),
                 'not a safetensors file'),
    'a pipe': (lambda folder: (os.remove(folder / 'model.safetensors'), os.mkfifo(folder / 'model.safetensors')),
               'no such file'),
}


@pytest.mark.parametrize('name', BAD_WEIGHTS)
def test_hostile_weights_are_refused(copy, name):
    damage, message = BAD_WEIGHTS[name]
    damage(copy)
    with pytest.raises(UserError, match=message) as caught:
        FeatureExtractor.from_pretrained(copy, 'cpu')
    assert '\n' not in str(caught.value) and 'model.safetensors' in str(caught.value)


def test_files_that_are_too_large(copy, monkeypatch):
    monkeypatch.setattr(read, 'MAX_CONFIG', 100)
    with pytest.raises(UserError, match='config.json: larger than'):
        FeatureExtractor.from_pretrained(copy)
    monkeypatch.undo()
    monkeypatch.setattr(weights_file, 'MAX_BYTES', 100)
    with pytest.raises(UserError, match='model.safetensors: larger than'):
        FeatureExtractor.from_pretrained(copy)


def test_names_that_are_no_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)  # an import fails
    for name in ('nothing', './no/such', '/no/such', 'a/b/c', '../x/y', 'https://host/owner/name'):
        with pytest.raises(UserError, match='no such folder$'):
            FeatureExtractor.from_pretrained(name)
    with pytest.raises(UserError, match='owner/name: no such folder; to download .* pip install huggingface_hub'):
        FeatureExtractor.from_pretrained('owner/name')
    with pytest.raises(UserError, match='zoo/nothing: no such model; the zoo has'):
        FeatureExtractor.from_pretrained('zoo/nothing')
    with pytest.raises(UserError, match='zoo/../x: no such model'):
        FeatureExtractor.from_pretrained('zoo/../x')
    with pytest.raises(UserError, match='config.json: no such file: a saved model has'):
        FeatureExtractor.from_pretrained(tmp_path)
    with pytest.raises(UserError, match='is not a folder'):
        FeatureExtractor.from_pretrained(folder / 'config.json')
    with pytest.raises(UserError, match='is a saved encoder, .* load it with FeatureExtractor.from_pretrained'):
        SkeletonClassifier.from_pretrained(folder)


class Hub(types.ModuleType):
    """Stands in for huggingface_hub and notes its calls."""

    def __init__(self, folder: Path):
        super().__init__('huggingface_hub')
        self.folder, self.calls = folder, []

    def snapshot_download(self, repo_id, revision=None, allow_patterns=None):
        self.calls.append((repo_id, revision, allow_patterns))
        if repo_id == 'owner/gone':
            raise ConnectionError('no\nnetwork')
        return str(self.folder)

    def HfApi(self, token=None):
        hub = self

        class Api:
            def create_repo(self, repo_id, private, exist_ok):
                hub.calls.append(('create', repo_id, private, exist_ok))

            def upload_folder(self, repo_id, folder_path, commit_message):
                hub.calls.append(('upload', repo_id, sorted(os.listdir(folder_path))))
                return f'https://hub/{repo_id}'
        return Api()


def test_the_hub(extractor, folder, tiny_kinect_store, tmp_path, monkeypatch):
    hub = Hub(folder)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    loaded = FeatureExtractor.from_pretrained('owner/name', 'cpu', revision='v1')
    assert (loaded(clips(tiny_kinect_store)) == extractor(clips(tiny_kinect_store))).all()
    assert hub.calls == [('owner/name', 'v1', ['config.json', 'model.safetensors', 'README.md'])]
    with pytest.raises(UserError, match='the hub does not provide it: no network$'):
        FeatureExtractor.from_pretrained('owner/gone')
    hub.calls.clear()
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / 'owner' / 'name')
    FeatureExtractor.from_pretrained('owner/name', 'cpu')
    assert not hub.calls  # a local folder never contacts the network
    assert loaded.push_to_hub('me/mine', private=True) == 'https://hub/me/mine'
    assert hub.calls == [('create', 'me/mine', True, True),
                         ('upload', 'me/mine', ['README.md', 'config.json', 'model.safetensors'])]


@pytest.mark.parametrize('backbone, frames', [
    (dict(type='STGCN', layout='kinect20', hidden_channels=4, out_channels=8), 'ResizeFrames'),
    (dict(type='BiGRU', layout='kinect20', hidden_channels=4), 'PadFrames'),
    (dict(type='TemporalConvNet', layout='kinect20', channels=[4, 4, 8, 8]), 'ResizeFrames')])
@pytest.mark.parametrize('pooling', ['mean', 'mean_max'])
def test_every_encoder(backbone, frames, pooling, tiny_kinect_store, tmp_path):
    """Clips of different lengths, a method with a projector and a queue, and one class of each kind of layer."""
    views = {view: [] for view in MODELS.get('SkeletonCLR').view_names}
    model = dict(type='SkeletonCLR', backbone=backbone, queue_size=8, pooling=pooling,
                 data_preprocessor=dict(type='SkeletonPreprocessor', layout='kinect20', stream='bone', views=views))
    data = describe_data(dict(store=tiny_kinect_store, pipeline=[
        dict(type='SelectPersons', max_persons=1), dict(type='AlignSequence'), dict(type=frames, frames=40),
        dict(type='PackSkeleton')]), layout='kinect20', data_hash='0')
    built = build_model(model, 'here', seed=3).eval()
    extractor = FeatureExtractor._of('here', built, dict(model=model, dataset=data, method='SkeletonCLR'), 'cpu')
    extractor.save_pretrained(tmp_path / 'made')
    loaded = FeatureExtractor.from_pretrained(tmp_path / 'made', 'cpu')
    assert (loaded(clips(tiny_kinect_store)) == extractor(clips(tiny_kinect_store))).all()


def test_an_encoder_that_pools_in_its_own_way_is_refused(extractor, tmp_path):
    class Own(type(extractor.model)):
        def pool(self, *args):
            return super().pool(*args) * 2

    built = build_model(extractor.info['model'], 'here')
    built.__class__ = Own
    with pytest.raises(UserError, match='Own computes its features in its own way'):
        FeatureExtractor._of('here', built, extractor.info, 'cpu').save_pretrained(tmp_path / 'made')
    assert not (tmp_path / 'made').exists()
