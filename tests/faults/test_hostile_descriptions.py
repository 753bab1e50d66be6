"""A type that a description in a checkpoint names is built only if it is one of our classes."""
import copy
import importlib
import inspect
import json
import sys
from pathlib import Path

import mmcv.cnn  # noqa: F401  registers in mmengine's roots, as the next one does
import mmcv.transforms  # noqa: F401
import mmengine.registry
import pytest
import torch
from hostile import DATASET, MODEL, PIPELINE, save
from mmengine.registry import Registry

from mmskelssl import registry
from mmskelssl.apis import FeatureExtractor, SkeletonInferencer
from mmskelssl.engine.plugins import import_plugins
from mmskelssl.engine.rebuild import build_dataset, build_model, build_pipeline
from mmskelssl.errors import UserError

ROOTS = [value for value in vars(mmengine.registry).values() if isinstance(value, Registry)]
OURS = [value for value in vars(registry).values() if isinstance(value, Registry)]


PLUGIN = Path(__file__).resolve().parents[2] / 'examples' / 'plugin'


def registered() -> dict[str, object]:
    """Return a dict from name to class or function of all that mmengine, mmcv, this package and a plug-in register.

    The plug-in is imported, but not by the name that the caller would give.
    """
    if str(PLUGIN) not in sys.path:
        sys.path.append(str(PLUGIN))
    importlib.import_module('skelplug')
    import mmskelssl.augment
    import mmskelssl.engine.hooks
    import mmskelssl.models  # noqa: F401
    made = {}
    for node in [*ROOTS, *OURS]:
        made.update({f'{node.name}/{node.scope}/{name}': kind for name, kind in node.module_dict.items()})
    return made


def places() -> dict:
    """Return a dict from place to a function that tries a config there."""
    def model(change):
        config = copy.deepcopy(MODEL)
        change(config)
        return build_model(config, 'a.pth')

    def data(pipeline, **about):
        return build_dataset({**DATASET, 'store': 'none', 'pipeline': pipeline, **about}, 'train', 'a.pth')

    return {
        'model': lambda config: build_model({**MODEL, **config}, 'a.pth'),
        'backbone': lambda config: model(lambda m: m['backbone'].update(config)),
        'preprocessor': lambda config: model(lambda m: m['data_preprocessor'].update(config)),
        'view': lambda config: model(lambda m: m['data_preprocessor']['views'].update(first=[config])),
        'norm': lambda config: model(lambda m: m.update(
            backbone=dict(type='STGCN', layout='ntu25', norm_cfg=config))),
        'init': lambda config: model(lambda m: m['backbone'].update(init_cfg=config)),
        'argument': lambda config: model(lambda m: m['projector'].update(norm=config)),
        'data set': lambda config: build_dataset({**DATASET, 'store': 'none', **config}, 'train', 'a.pth'),
        'step': lambda config: data([config, *PIPELINE]),
        'step in a step': lambda config: data([dict(type='KeyMapper', transforms=[config], mapping={}), *PIPELINE]),
        'argument of a step': lambda config: data([dict(type='SelectPersons', by=config), *PIPELINE[1:]]),
    }


WELCOME = {  # place -> registry whose own classes belong there, and the first parts of their modules
    'model': ('MODELS', ('mmskelssl.models.methods.', 'mmskelssl.models.classifier')),
    'backbone': ('MODELS', ('mmskelssl.models.backbones.',)),
    'preprocessor': ('MODELS', ('mmskelssl.models.preprocessor', 'mmskelssl.models.pool_preprocessor')),
    'view': ('BATCH_AUGMENTS', ('mmskelssl.augment.',)),
    'data set': ('DATASETS', ('mmskelssl.datasets.',)),
    'step': ('TRANSFORMS', ('mmskelssl.datasets.',))}
NORMS = {'BN', 'BN2d', 'SyncBN', 'GN', 'IN'}


class Watch:
    """Record which functions and constructors are called. C types are recognised by an instance."""

    def __init__(self, kinds):
        self.codes = {}
        for name, kind in kinds.items():
            for function in (kind, getattr(kind, '__init__', None), getattr(kind, '__new__', None)):
                if inspect.isfunction(function) and 'mmskelssl' not in function.__module__:
                    self.codes[function.__code__] = name
        self.called = set()

    def __enter__(self):
        sys.setprofile(lambda frame, event, _: event == 'call' and frame.f_code in self.codes and
                       self.called.add(self.codes[frame.f_code]))
        return self

    def __exit__(self, *_):
        sys.setprofile(None)


@pytest.mark.fault('F28', 'a checkpoint that names each class registered in mmengine, mmcv and mmskelssl, at each '
                   'place')
@pytest.mark.parametrize('place', sorted(places()))
def test_only_our_own_classes_are_built(place, record_property, lost):
    kinds, attempt = registered(), places()[place]
    node, modules = WELCOME.get(place, (None, ()))
    own = {name for name, kind in getattr(registry, node).module_dict.items()
           if kind.__module__.startswith(modules)} if node else NORMS if place == 'norm' else set()
    names = sorted({name.split('/')[-1] for name in kinds} - own)
    assert len(names) > 190 and {'AlignUniform', 'SmoothFrames', 'PartDrop', 'LongClips'} <= {*names}
    for name in names:
        for spelt in (name, f'mmengine.{name}'):
            with Watch(kinds) as watch, pytest.raises(UserError) as caught:
                attempt(dict(type=spelt))
            assert not watch.called, (name, watch.called)
            message = str(caught.value)
            assert 'a.pth' in message and '\n' not in message and 'cannot be built' not in message, message
    record_property('tried', len(names))
    lost('nothing')


def test_a_plugin_is_allowed_once_its_caller_names_it():
    step = [dict(type='SmoothFrames', width=3), *PIPELINE]
    registered()
    with pytest.raises(UserError, match=r'SmoothFrames.* is a class of the module skelplug\.smooth_frames, which is '
                       'neither ours nor imported'):
        build_pipeline(step, 'a.pth')
    import_plugins('skelplug')
    assert type(build_pipeline(step, 'a.pth').transforms[0]).__name__ == 'SmoothFrames'


@pytest.mark.parametrize('name', ['', '.', '..', '.skelplug'])
def test_a_plugin_has_a_name(name):
    with pytest.raises(UserError, match=r"cannot import '[.skelpug]*': give the name of a module"):
        import_plugins(name)


def test_the_watch_sees_constructors():
    with Watch(registered()) as watch:
        mmengine.registry.TRANSFORMS.build(dict(type='RandomFlip', prob=.5))
    assert len(watch.called) >= 1


def commands(folder):
    """Pipelines that run a command on f043d17 and before, each by another way."""
    touch = f"__import__('os').system('touch {folder}/made')"
    return [
        [dict(type='RandomChoiceResize', scales=[1], resize_type='sympy.simplify', expr=touch)],
        [dict(type='RandomResize', scale=[1, 1], resize_type='sympy.simplify', expr=touch)],
        [dict(type='KeyMapper', mapping={}, transforms=[
            dict(type='RandomChoiceResize', scales=[1], resize_type='sympy.simplify', expr=touch)])],
        [dict(type='KeyMapper', mapping={}, transforms=[dict(
            type='LoadImageFromFile', backend_args=dict(backend='memcached', server_list_cfg='x', client_cfg='x',
                                                        sys_path=str(folder)))])],
        [dict(type='Compose', transforms=[dict(type='sympy.simplify', expr=touch)])]]


@pytest.mark.fault('F28', 'a checkpoint that names each class registered in mmengine, mmcv and mmskelssl, at each '
                   'place')
@pytest.mark.parametrize('which', range(5))
def test_no_pipeline_runs_a_command(tmp_path, tiny_store, which, lost):
    (tmp_path / 'mc.py').write_text(f'open({str(tmp_path / "made")!r}, "w")\n')  # what the memcached client imports
    steps = commands(tmp_path)[which] + PIPELINE
    path = save(tmp_path / 'a.pth', tiny_store, dataset={**DATASET, 'pipeline': steps})
    for use in (lambda: FeatureExtractor(path), lambda: SkeletonInferencer(path, tiny_store),
                lambda: build_dataset({**DATASET, 'store': tiny_store, 'pipeline': steps}, 'train', path)):
        with pytest.raises(UserError, match='a.pth'):
            use()
    assert not (tmp_path / 'made').exists()
    lost('nothing')


def dig(model, *keys, value):
    model = copy.deepcopy(model)
    node = model
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    return model


@pytest.mark.fault('F32', 'descriptions with unknown arguments, values of the wrong type, and any size, depth or '
                   'spelling')
@pytest.mark.parametrize('keys, value', [
    (('backbone', 'channels'), [4, 10 ** 12]), (('backbone', 'channels'), []), (('backbone', 'channels'), [-4]),
    (('backbone', 'channels'), 'ab'), (('backbone', 'kernel'), 10 ** 9), (('backbone', 'kernel'), 0),
    (('backbone', 'in_channels'), 10 ** 8), (('backbone', 'num_persons'), -1), (('backbone', 'layout'), 'ntu26'),
    (('backbone', 'layout'), dict(name='x', joints=['a'], parents=[0], hip='0', shoulders=[0, 0])),
    (('backbone', 'layout'), dict(name='x\x1b[2J', joints=['a'], parents=[0], hip=0, shoulders=[0, 0])),
    (('backbone', 'layout'), dict(name='x', joints=['a'] * 5000, parents=[0] * 5000, hip=0, shoulders=[0, 0])),
    (('backbone', 'layout'), 5), (('backbone', 'type'), None), (('backbone', 'type'), ['STGCN']), (('type',), 3),
    (('backbone',), 'STGCN'), (('backbone',), []), (('projector', 'hidden_channels'), 10 ** 10),
    (('projector', 'hidden_channels'), '8'), (('projector', 'depth'), 2), (('pooling',), 'best'), (('pooling',), {}),
    (('data_preprocessor', 'views', 'first'), [['Shear']]), (('data_preprocessor', 'views'), [1]),
    (('data_preprocessor', 'views', 'second'), ['third']), (('data_preprocessor', 'views', 'first', 0, 'p'), 7),
    (('data_preprocessor', 'views', 'first', 0, 'amplitude'), '1'), (('data_preprocessor', 'seed'), 1e400),
    (('data_preprocessor', 'views', 'first', 0, '[bold]x'), 1), (('temperature',), [0.1]), (('\x1b]0;x\x07',), 1),
    (('backbone', 'type'), 'BiGRU'), (('backbone',), dict(type='BiGRU', layout='ntu25', num_layers=10 ** 8))])
def test_models_that_cannot_be(tmp_path, keys, value, lost):
    path = save(tmp_path / 'a.pth', model=dig(MODEL, *keys, value=value))
    with pytest.raises(UserError, match='a.pth') as caught:
        FeatureExtractor(path)
    assert '\n' not in str(caught.value) and str(caught.value).isprintable()
    lost('nothing')


@pytest.mark.fault('F32', 'descriptions with unknown arguments, values of the wrong type, and any size, depth or '
                   'spelling')
@pytest.mark.parametrize('change', [
    dict(pipeline=5), dict(pipeline=[]), dict(pipeline=[5]), dict(pipeline={}), dict(pipeline=[{}]), dict(layout=5),
    dict(layout={}), dict(pipeline=[dict(type='PackSkeleton', colour=1)]), dict(store=['a']), dict(store='a\0b'),
    dict(pipeline=[dict(type='SelectPersons', max_persons=10 ** 9), *PIPELINE[1:]]), dict(unknown=1),
    dict(pipeline=[dict(type='ResizeFrames', frames=10 ** 9), *PIPELINE[2:]]), dict(type='Missing'),
    dict(pipeline=[dict(type='ResizeFrames', frames=0), *PIPELINE[2:]]), dict(type=['SkeletonDataset']),
    dict(pipeline=[dict(type='Center', joint=99), *PIPELINE]), dict(pipeline=PIPELINE[:1]), dict(store='nowhere'),
    dict(pipeline=[dict(type='FitRange', limit='1'), *PIPELINE]), dict(pipeline=PIPELINE[1:] * 2), dict(split=1)])
def test_data_sets_that_cannot_be(tmp_path, tiny_store, change, lost):
    path = save(tmp_path / 'a.pth', tiny_store, dataset=DATASET)
    checkpoint = torch.load(path)
    info = checkpoint['meta']['mmskelssl']
    info['dataset'] = json.dumps({**json.loads(info['dataset']), **change})
    torch.save(checkpoint, path)
    with pytest.raises(UserError) as caught:
        FeatureExtractor(path).of_store()
    assert '\n' not in str(caught.value)
    lost('nothing')


@pytest.mark.fault('F32', 'descriptions with unknown arguments, values of the wrong type, and any size, depth or '
                   'spelling')
@pytest.mark.parametrize('key, text', [
    ('model', '['), ('model', '[]'), ('model', 'null'), ('model', '{"type": NaN}'), ('model', '[' * 200_000),
    ('model', '{"type": ' + '1' * 100_000 + '}'), ('model', '{"type": "SimCLR"}'), ('model', 5), ('dataset', '"x"'),
    ('dataset', '{"a":' * 100_000), ('dataset', []), ('model', {'type': 'SimCLR'}), ('decisive', 5),
    ('method', '../../made'), ('method', '[red]x[/red]'), ('method', 'x\x1b[31m'), ('method', 'a\nb'),
    ('method', ['a']), ('stream', '/etc'), ('seed', 'x'), ('seed', -1), ('epoch', 1.5), ('epoch', True),
    ('config_hash', {}), ('iteration', 10 ** 30)])
def test_descriptions_that_are_none(tmp_path, key, text, lost):
    path = save(tmp_path / 'a.pth', **{key: text} if key not in ('model', 'dataset') else {})
    checkpoint = torch.load(path)
    checkpoint['meta']['mmskelssl'][key] = text
    torch.save(checkpoint, path)
    with pytest.raises(UserError, match='a.pth: ') as caught:
        FeatureExtractor(path)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 1000
    lost('nothing')
