"""Every number in the constructor of a model, backbone or monitor is checked: one line with its name."""
import inspect
import math

import pytest
from contract_methods import METHODS, QUEUED, build

from mmskelssl.engine.hooks.knn_hook import KNNHook
from mmskelssl.engine.hooks.training import AugmentCurriculumHook
from mmskelssl.errors import UserError
from mmskelssl.models.checks import check_choice, check_integer, check_number, check_switch
from mmskelssl.models.modules.norm import build_norm
from mmskelssl.registry import MODELS

BACKBONES = ('STGCN', 'BiGRU', 'TemporalConvNet', 'SkeletonViT')
WRONG = dict(int=(-1, 1.5, 'three', True), float=(-1, math.nan, math.inf, 'three', True), bool=('no', 1))


def numbers_of(cls) -> dict[str, str]:
    """The names of the constructor's numbers and switches, those of its bases included, and their kind."""
    found = {}
    for base in cls.__mro__:
        if base.__module__.split('.')[0] in ('mmskelssl', 'skelplug') and '__init__' in vars(base):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                kinds = {str(part).strip() for part in str(
                    getattr(parameter.annotation, '__name__', parameter.annotation)).split('|')}
                if 'dict' not in kinds and kinds & set(WRONG):
                    found[name] = next(kind for kind in WRONG if kind in kinds)
    return found


def cases(classes):
    return [(cls, name, value) for cls in classes for name, kind in sorted(numbers_of(MODELS.get(cls)).items())
            for value in WRONG[kind]]


def refused(name, make):
    with pytest.raises(UserError, match=rf'\b{name} is ') as caught:
        make()
    assert '\n' not in str(caught.value)


def test_the_lists_are_not_empty():
    assert {'temperature', 'queue_size', 'in_batch', 'topk', 'contrast_weight'} <= set(numbers_of(MODELS.get('ActCLR')))
    assert {'hidden_channels', 'out_channels', 'dropout', 'in_channels'} <= set(numbers_of(MODELS.get('STGCN')))


@pytest.mark.parametrize('method', METHODS)
def test_methods(method):
    for _, name, value in cases([method]):
        refused(name, lambda name=name, value=value: build(method, **{name: value}))


@pytest.mark.parametrize('kind', BACKBONES)
def test_backbones(kind):
    for _, name, value in cases([kind]):
        refused(name, lambda name=name, value=value: MODELS.build(dict(type=kind, layout='ntu25', **{name: value})))


@pytest.mark.parametrize('name', ['seed', 'velocity', 'keep_absent', 'non_blocking', 'scores'])
def test_preprocessor(name):
    kind = numbers_of(MODELS.get('SkeletonPreprocessor'))[name]
    for value in WRONG[kind]:
        config = dict(type='SkeletonPreprocessor', layout='ntu25', **{name: value})
        refused(name, lambda config=config: MODELS.build(config))


@pytest.mark.parametrize('method, options, name', [
    *[(method, dict(temperature=-1), 'temperature') for method in (*QUEUED, 'SimCLR')],
    ('SkeletonCLR', dict(momentum=dict(momentum=1.1)), 'momentum.momentum'),
    ('SkeletonCLR', dict(momentum=dict(momentum='high')), 'momentum.momentum'),
    ('SkeAttnCLR', dict(momentum=dict(final_momentum=2)), 'momentum.final_momentum'),
    ('SkeletonCLR', dict(momentum=dict(buffers='none')), 'momentum.buffers'),
    ('SimCLR', dict(projector=dict(hidden_channels=0)), 'projector.hidden_channels'),
    ('SimCLR', dict(projector=dict(out_channels=-3)), 'projector.out_channels'),
    ('SkeAttnCLR', dict(attention=dict(heads=0)), 'attention.heads'),
    ('SkeAttnCLR', dict(attention=dict(heads=3)), 'attention.heads'),
    ('SkeAttnCLR', dict(attention=dict(heads=2, sharpness=-2)), 'attention.sharpness'),
    ('SkeAttnCLR', dict(predictor_channels=0), 'predictor_channels'),
    ('SkeAttnCLR', dict(local_weight=1.5), 'local_weight'),
    ('CRRL', dict(head=dict(hidden_channels=0)), 'head.hidden_channels'),
    ('ActCLR', dict(temperatures=(0.1, 0)), 'each of temperatures'),
    ('ActCLR', dict(temperatures=0.1), 'temperatures'), ('AimCLR', dict(drop_keep=.5), 'drop_keep'),
    ('AimCLR', dict(drop_keep=1.5), 'drop_keep')], ids=str)
def test_options_within_options(method, options, name):
    refused(name.replace('.', r'\.'), lambda: build(method, **options))


@pytest.mark.parametrize('options, name', [
    (dict(channels=()), 'channels'), (dict(channels=(8, 0)), 'each of backbone.channels'), (dict(kernel=4), 'kernel')])
def test_convolutions(options, name):
    refused(name, lambda: MODELS.build(dict(type='TemporalConvNet', layout='ntu25', **options)))


@pytest.mark.parametrize('options, name', [
    (dict(type='GN', num_groups=3), 'norm_cfg.num_groups'), (dict(type='GN', num_groups=0), 'norm_cfg.num_groups'),
    (dict(type='BN', eps=-1e-5), 'norm_cfg.eps'), (dict(type='BN', momentum=2.), 'norm_cfg.momentum')])
def test_norm_layers(options, name):
    refused(name, lambda: build_norm(options, 8))


def test_hooks():
    for name, kind in numbers_of(KNNHook).items():
        for value in WRONG[kind][2:] if name in ('max_cosine', 'min_std') else WRONG[kind]:
            if name != 'k':
                refused(name, lambda name=name, value=value: KNNHook(**{name: value}))
    refused('phases.0.begin', lambda: AugmentCurriculumHook([dict(begin=-1)]))
    refused('phases.0.keep.strong', lambda: AugmentCurriculumHook([dict(begin=0, keep=dict(strong=-2))]))


def test_what_is_possible_passes():
    for name, value in dict(drop_keep=1, mining_epoch=0, ddm_weight=0., temperature=1).items():
        build('AimCLR', **{name: value})
    check_integer('n', 0, 0)
    check_number('n', 0.5, 0, 1)
    check_switch('s', False)
    check_choice('c', 'a', ('a',))


@pytest.mark.parametrize('check, message', [
    (lambda: check_number('x', 2, 0, 1), 'x is 2; it must be a finite number at least 0 and at most 1'),
    (lambda: check_number('x', 0, above=0, below=1), 'x is 0; it must be a finite number above 0 and below 1'),
    (lambda: check_number('x', math.inf, instead='; 0 is off'), 'x is inf; it must be a finite number; 0 is off'),
    (lambda: check_integer('n', 0), 'n is 0; it must be an integer of at least 1'),
    (lambda: check_choice('c', ['a'], ('a', 'b')), "c is ['a']: choose one of a, b"),
    (lambda: check_switch('s', 0), 's is 0; it must be True or False')])
def test_messages(check, message):
    with pytest.raises(UserError) as caught:
        check()
    assert str(caught.value) == message
