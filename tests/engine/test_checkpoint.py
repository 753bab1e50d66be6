"""Stock checkpoints load, crafted ones have no effect, and incomplete backbones are refused."""
import collections
import json
import os
import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import nn

from mmskelssl.engine import plugins
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_backbone, load_checkpoint, load_part
from mmskelssl.engine.hooks.plain_checkpoint_hook import PlainCheckpointHook
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.safe_io import install_safe_io
from mmskelssl.engine.unpickle import to_plain
from mmskelssl.errors import UserError
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.registry import MODELS


class Calls:
    """An object that pickles as a call of ``function``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, width))
        self.projector = nn.Linear(width, 2)



@pytest.fixture(autouse=True)
def safe_io():
    install_safe_io()


def history():
    buffer = HistoryBuffer([1.5, 2.5], [1, 2])
    buffer.update(3.0)
    return buffer


def stock(**meta):
    hub = dict(log_scalars=collections.OrderedDict({'train/loss': history()}),
               runtime_info=collections.OrderedDict(epoch=np.int64(3), lr=np.float32(0.5), seen=np.arange(4)),
               resumed_keys=collections.OrderedDict({'train/loss': True}))
    return dict(meta=dict(epoch=1, seed=np.uint32(7), **meta), state_dict=Net().state_dict(), message_hub=hub)


@pytest.mark.parametrize('zipped', [True, False])
def test_stock_mmengine_checkpoint_loads(tmp_path, zipped):
    path = str(tmp_path / 'a.pth')
    torch.save(stock(), path, _use_new_zipfile_serialization=zipped)
    made = load_checkpoint(path)
    buffer = made['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer) and buffer.mean() == history().mean()
    buffer.update(9.0)
    info = made['message_hub']['runtime_info']
    assert info['epoch'] == 3 and info['lr'] == 0.5 and info['seen'].tolist() == [0, 1, 2, 3]
    assert made['meta']['seed'] == 7


def test_arrays_survive(tmp_path):
    arrays = [np.arange(6).reshape(2, 3).T, np.array(2.5), np.zeros((0, 3), np.float32), np.array([True, False]),
              np.arange(3, dtype='>i4'), np.float16(0.5)]
    torch.save(dict(arrays=arrays), tmp_path / 'a.pth')
    for made, wanted in zip(load_checkpoint(tmp_path / 'a.pth')['arrays'], arrays, strict=True):
        np.testing.assert_array_equal(made, wanted)


def test_hook_leaves_nothing_unsafe_and_round_trips(tmp_path):
    class Runner:
        class logger:
            warnings = []
            warning = warnings.append

    checkpoint = stock()
    checkpoint['message_hub']['runtime_info']['odd'] = object()
    PlainCheckpointHook().before_save_checkpoint(Runner, checkpoint)
    path = str(tmp_path / 'a.pth')
    torch.save(checkpoint, path)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    assert 'message_hub.runtime_info.odd (object)' in Runner.logger.warnings[0]
    made = CheckpointLoader.load_checkpoint(path)
    buffer = made['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer) and buffer.mean() == history().mean()
    assert type(checkpoint['state_dict']) is collections.OrderedDict


def test_to_plain_refuses_by_name():
    with pytest.raises(TypeError, match=r'meta\.a\[1\]: object'):
        to_plain(dict(a=[1, object()]), 'meta')


def payloads(folder):
    evil = HistoryBuffer()
    evil.__dict__['hidden'] = Calls(os.mkdir, str(folder / 'made'))
    return [Calls(os.mkdir, str(folder / 'made')), Calls(Calls, 1), evil, Calls(subprocess.Popen, ['true']),
            Calls(eval, f'__import__("os").mkdir({str(folder / "made")!r})'),
            Calls(np.load, str(folder / 'x.npy'))]


@pytest.mark.parametrize('which', range(6))
@pytest.mark.parametrize('zipped', [True, False])
def test_nothing_in_a_file_runs(tmp_path, which, zipped):
    path = str(tmp_path / 'evil.pth')
    torch.save(dict(state_dict={}, x=payloads(tmp_path)[which]), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match='evil.pth: refused, since it holds') as caught:
        load_checkpoint(path)
    assert '\n' not in str(caught.value) and not (tmp_path / 'made').exists()


def test_getattr_is_inert(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(x=Calls(getattr, HistoryBuffer, 'mean')), path)
    assert load_checkpoint(path)['x'] is None
    torch.save(dict(x=Calls(Calls, getattr)), path)
    with pytest.raises(UserError):
        load_checkpoint(path)


def test_history_calls_nothing_of_its_state(tmp_path, monkeypatch):
    """mmengine's __setstate__ calls ``state.pop``, which a file can replace."""
    inner, outer = HistoryBuffer(), HistoryBuffer()
    states = {id(inner): dict(pop=Calls(getattr, HistoryBuffer, 'mean')), id(outer): inner}
    monkeypatch.setattr(HistoryBuffer, '__getstate__', lambda self: states[id(self)])
    torch.save(dict(x=outer), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='damaged checkpoint'):
        load_checkpoint(tmp_path / 'a.pth')


def test_object_arrays_are_refused(tmp_path):
    torch.save(dict(x=np.array([{}, 1], object)), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='damaged checkpoint'):
        load_checkpoint(tmp_path / 'a.pth')


def test_config_is_dropped(tmp_path):
    torch.save(stock(config='import os; os.mkdir("made")', cfg='text'), tmp_path / 'a.pth')
    made = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    assert 'config' not in made['meta'] and made['meta']['cfg'] == 'text'


@pytest.mark.parametrize('scheme', ['http://h/a.pth', 'https://h/a.pth', 's3://b/a', 'open-mmlab://a', 'mmcls://a',
                                    'torchvision://resnet18', 'pavi://a', 'ftp://h/a'])
def test_remote_checkpoints_are_refused(scheme):
    with pytest.raises(UserError, match='remote checkpoints'):
        CheckpointLoader.load_checkpoint(scheme)


@pytest.mark.parametrize('content', [b'', b'hello', b'PK\x03\x04', pickle.dumps([1, 2])])
def test_files_that_are_no_checkpoints(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match='a.pth'):
        load_checkpoint(tmp_path / 'a.pth')
    with pytest.raises(UserError, match='no such'):
        load_checkpoint(tmp_path / 'b.pth')


def test_truncated_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(stock(), path)
    for share in (0.2, 0.6, 0.95):
        (tmp_path / 'b.pth').write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
        with pytest.raises(UserError, match='b.pth: not a readable checkpoint'):
            load_checkpoint(tmp_path / 'b.pth')


@pytest.mark.parametrize('kept, percent', [(0, 0), (6, 66), (8, 88)])
def test_part_of_a_backbone_is_refused(tmp_path, kept, percent):
    names = [name for name in Net().state_dict() if name.startswith('backbone.')]
    torch.save(dict(state_dict={name: Net().state_dict()[name] for name in names[:kept]}), tmp_path / 'a.pth')
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UserError, match=rf'{kept} of the 9 keys of the backbone fit \({percent} %\).*is missing'):
        load_backbone(net, tmp_path / 'a.pth')
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_whole_backbone_loads(tmp_path):
    source, net = Net(), Net()
    torch.save(dict(state_dict={f'module.{k}': v for k, v in source.state_dict().items()}), tmp_path / 'a.pth')
    load_backbone(net, tmp_path / 'a.pth')
    assert torch.equal(net.backbone[0].weight, source.backbone[0].weight)
    assert not torch.equal(net.projector.weight, source.projector.weight)
    load_part(net, tmp_path / 'a.pth', 'projector.')
    assert torch.equal(net.projector.weight, source.projector.weight)
    with pytest.raises(UserError, match="no part 'head'"):
        load_part(net, tmp_path / 'a.pth', 'head.')


def test_other_shapes_surplus_and_nan_are_refused(tmp_path):
    torch.save(dict(state_dict=Net(5).state_dict()), tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'backbone.0.weight is \(5, 3\) instead of \(4, 3\)'):
        load_backbone(Net(), tmp_path / 'a.pth')
    torch.save(dict(state_dict={**Net().state_dict(), 'backbone.9.weight': torch.ones(1)}), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='backbone.9.weight is not in the model'):
        load_backbone(Net(), tmp_path / 'a.pth')
    broken = Net()
    broken.backbone[0].weight.data[0, 0] = float('nan')
    torch.save(dict(state_dict=broken.state_dict()), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='backbone.0.weight holds NaN'):
        load_backbone(Net(), tmp_path / 'a.pth')


class Encoder(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.layers, self.out_channels = nn.Linear(3, width), width

    def forward(self, x, num_frames=None):
        return self.layers(x)


class Method(SkeletonEncoder):
    def __init__(self, inner: list | None = None, **kwargs):
        super().__init__(**kwargs)
        self.projector = nn.Linear(self.feat_channels, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(plugins, '_trusted', set())
    for kind in (Encoder, Method):
        MODELS.register_module(f'CheckpointTest{kind.__name__}', module=kind)
    plugins.trust(__name__)
    yield
    for kind in (Encoder, Method):
        del MODELS._module_dict[f'CheckpointTest{kind.__name__}']


ENCODER = dict(type='CheckpointTestEncoder', width=6)
METHOD = dict(type='CheckpointTestMethod', backbone=ENCODER)


def described(path, model):
    torch.save(dict(meta=dict(mmskelssl=dict(model=json.dumps(model), seed=0)),
                    state_dict=Method(backbone=Encoder(6)).state_dict()), path)


def test_model_is_rebuilt_from_its_description(tmp_path, registered):
    described(tmp_path / 'a.pth', METHOD)
    model, info = build_from_checkpoint(tmp_path / 'a.pth')
    assert not model.training and info['model'] == METHOD and info['not_loaded'] == []
    saved = torch.load(tmp_path / 'a.pth')['state_dict']
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('change, message', [
    (dict(type='os.mkdir'), "model: type 'os.mkdir' is not registered as a model"),
    (dict(type='CheckpointTestEncoder'), 'is not registered as a model'),
    (dict(type='BaseDataPreprocessor'), 'is not registered as a model'),
    (dict(backbone=dict(type='CheckpointTestMethod')), 'model.backbone: .* is not registered as a backbone'),
    (dict(backbone=dict(type='CheckpointTestEncodre')), 'nearest: CheckpointTestEncoder'),
    (dict(backbone={**ENCODER, 'width': '6'}), r'model.backbone.width is 6, which Encoder does not take'),
    (dict(backbone={**ENCODER, 'width': True}), r'model.backbone.width is True'),
    (dict(backbone={**ENCODER, 'depth': 2}), r"Encoder takes no argument 'depth'"),
    (dict(backbone={**ENCODER, 'width': 10 ** 9}), 'more than 1024 MiB'),
    (dict(backbone={**ENCODER, 'width': 10 ** 20}), 'is a number of more than'),
    (dict(backbone={**ENCODER, 'width': -1}), 'its model cannot be built here'),
    (dict(inner=[dict(type='os.mkdir', path='made')]), r"model.inner\[0\]: type 'os.mkdir' is not registered"),
    (dict(_scope_='os'), 'may not set _scope_'),
    (dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth')), 'may not set init_cfg'),
    (dict(data_preprocessor=dict(type='ImgDataPreprocessor')), 'is not registered as a preprocessor'),
    (dict(pooling=dict(type='x')), r'model.pooling')])
def test_what_a_description_may_say(tmp_path, registered, change, message):
    described(tmp_path / 'a.pth', {**METHOD, **change})
    with pytest.raises(UserError, match=f'a.pth: .*{message}') as caught:
        build_from_checkpoint(tmp_path / 'a.pth')
    assert '\n' not in str(caught.value) and not os.path.exists('made')


def test_a_class_that_nobody_imported_by_name_is_refused(tmp_path, registered, monkeypatch):
    described(tmp_path / 'a.pth', METHOD)
    monkeypatch.setattr(plugins, '_trusted', set())
    with pytest.raises(UserError, match='class of the module test_checkpoint, .* name that module with --imports'):
        build_from_checkpoint(tmp_path / 'a.pth')
    plugins.import_plugins(__name__)
    build_from_checkpoint(tmp_path / 'a.pth')


def test_a_description_does_not_say_where_to_write(tmp_path, tiny_store):
    pipeline = [dict(type='SelectPersons'), dict(type='ResizeFrames', frames=4), dict(type='PackSkeleton')]
    data = dict(store=tiny_store, pipeline=pipeline, cache_dir=str(tmp_path / 'there'), resident='device')
    assert len(build_dataset(data, 'train', 'a.pth')) == 32 and not (tmp_path / 'there').exists()


def test_undescribed_checkpoint_says_what_to_do(tmp_path):
    torch.save(stock(), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='tools/test.py CONFIG CKPT'):
        build_from_checkpoint(tmp_path / 'a.pth')
