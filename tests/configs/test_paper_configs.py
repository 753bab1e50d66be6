"""The NTU and PKU-MMD configs hold the published recipes, including quirks, and every config states its command."""
import re
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmskelssl.cli import make_parser
from mmskelssl.engine.config import load_config
from mmskelssl.engine.named_hooks import deciding_hooks
from mmskelssl.registry import HOOKS, MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS, DATASETS = ('skeletonclr', 'aimclr', 'actclr'), ('ntu60', 'ntu120', 'pkummd1', 'pkummd2')
CRRL = ('crrlmotion', 'crrlreconstruct', 'crrl')
STAGED = ('actclr', 'crrl', 'mamp')
# Methods whose configs are not named after the class.
CLASSES = dict(mamp='nntuning', mampmasked='mamp', decorrelation='featuredecorrelation', simclrjoints='simclr')

# docs/methods.md 0.1, 0.4, 0.6 and 1.4
COMMON = {
    'model.backbone.type': 'STGCN',
    'model.backbone.hidden_channels': 16,
    'model.backbone.out_channels': 256,
    'model.backbone.adjacency': 'stgcn',
    'model.backbone.dropout': 0.5,
    'model.projector': dict(hidden_channels=256, out_channels=128),
    'model.momentum': dict(momentum=0.999, buffers='own'),
    'model.data_preprocessor.type': 'SkeletonPreprocessor',
    'model.data_preprocessor.stream': 'joint',
    'optim_wrapper.type': 'OptimWrapper',
    'optim_wrapper.optimizer': dict(type='SGD', lr=0.1, momentum=0.9, nesterov=False, weight_decay=1e-4),
    'optim_wrapper.clip_grad': None,
    'param_scheduler': [dict(type='MultiStepLR', by_epoch=True, milestones=[250], gamma=0.1)],
    'train_dataloader.batch_size': 128,
    'train_dataloader.drop_last': True,
    'train_dataloader.sampler.shuffle': True,
    'train_cfg.by_epoch': True,
    'data.split': 'xsub',
    'data.pipeline': [dict(type='SelectPersons', max_persons=2), dict(type='Center'),
                      dict(type='ResizeFrames', frames=50), dict(type='AlignShoulders'), dict(type='PackSkeleton')],
}
MOCO = {'model.queue_size': 32768, 'model.temperature': 0.07, 'train_cfg.max_epochs': 300, 'stages': None}
OWN = dict(
    skeletonclr={'model.type': 'SkeletonCLR', **MOCO},
    # docs/methods.md 1.4, phase 1
    aimclr={'model.type': 'AimCLR', **MOCO, 'model.ddm_weight': 0.5, 'model.mining_epoch': 150},
    # docs/methods.md 1.1 to 1.4; the rate is that of one device with a batch of 128
    actclr={'model.type': 'ActCLR', 'model.queue_size': 65536, 'train_cfg.max_epochs': 350, 'model.topk': 8192,
            'model.temperatures': [0.1, 0.04], 'model.mask': 'actionlet', 'model.threshold': 'published',
            'model.anchor': 'batch', 'model.late_epoch': 200,
            'default_hooks.curriculum': dict(type='AugmentCurriculumHook', core=['TemporalCrop', 'Shear'], phases=[
                dict(begin=0, keep=dict(normal=5, strong=7)),
                dict(begin=100, keep=dict(normal=3, strong=5)),
                dict(begin=200, keep=dict(normal=1, strong=3)),
                dict(begin=300, keep=dict(normal=0, strong=0), core=False)])})

# docs/methods.md 0.5, with the operators' effective arguments, including defaults: what runs, not what is written
WEAK = [('TemporalCrop', dict(p=1, pad_ratio=6)), ('Shear', dict(p=1, amplitude=0.5))]
FLIP = [('SpatialFlip', dict(p=0.5, mirror=False)), ('Rotate', dict(p=1, main=30, minor=1))]
BLUR = [('GaussianBlur', dict(p=0.5, taps=15, sigma=(0.1, 2.0), normalise=False)), ('AxisMask', dict(p=0.5))]
NORMAL = [*WEAK, *FLIP, ('GaussianNoise', dict(p=0.5, std=0.01, absent=True)), *BLUR]
STRONG = [*WEAK, *FLIP, ('GaussianNoise', dict(p=0.5, std=0.05, absent=True)), *BLUR,
          ('Interpolate', dict(p=0.5, ratio=1)),
          ('Rescale', dict(p=1, amplitude=0.5, centred=False, by='bone'))]
VIEWS = dict(skeletonclr=dict(query=WEAK, key=WEAK), aimclr=dict(query=WEAK, key=WEAK, extreme=NORMAL),
             actclr=dict(weak=WEAK, key=WEAK, normal=NORMAL, strong=STRONG))


# docs/methods.md 0.1, 0.4 and 2.1 to 2.4: the same preprocessing with 64 frames, the same schedule, another network
SKEATTNCLR = {
    'model.type': 'SkeAttnCLR',
    'model.backbone': dict(type='STGCN', hidden_channels=64, out_channels=256, adjacency='agcn', dropout=0.5),
    'model.projector': dict(hidden_channels=256, out_channels=128, norm=True),
    'model.predictor_channels': 256,
    'model.attention': dict(heads=8, sharpness=2.0),
    'model.momentum': dict(momentum=0.996, final_momentum=1.0, buffers='ema'),
    'model.queue_size': 32768,
    'model.temperature': 0.2,
    'model.data_preprocessor.type': 'SkeletonPreprocessor',
    'model.data_preprocessor.stream': 'joint',
    'train_cfg': dict(by_epoch=True, max_epochs=300),
    'stages': None,
    **{key: value for key, value in COMMON.items() if key.startswith(('optim', 'param', 'train_dataloader'))},
    'data.split': 'xsub',
    'data.pipeline': [step if step['type'] != 'ResizeFrames' else dict(type='ResizeFrames', frames=64)
                      for step in COMMON['data.pipeline']],
}
# docs/methods.md 3.1 to 3.4. The preprocessing is the project's own: the published one is unknown.
CRRL_COMMON = {
    'model.backbone': dict(type='BiGRU', num_persons=2, hidden_channels=256, num_layers=2, dropout=0.2),
    'model.data_preprocessor.type': 'SkeletonPreprocessor',
    'model.data_preprocessor.stream': 'joint',
    'optim_wrapper.type': 'OptimWrapper',
    'optim_wrapper.optimizer': dict(type='SGD', lr=0.05, momentum=0.9, nesterov=False, weight_decay=1e-4),
    'optim_wrapper.clip_grad': None,
    'param_scheduler': [dict(type='MultiStepLR', by_epoch=True, milestones=[18, 50], gamma=0.5)],
    'train_dataloader.batch_size': 32,
    'train_dataloader.sampler.shuffle': True,
    'train_cfg': dict(by_epoch=True, max_epochs=60),
    'data.pipeline': [dict(type='SelectPersons', max_persons=2), dict(type='AlignSequence'),
                      dict(type='FitRange', limit=0.7), dict(type='PadFrames', frames=300), dict(type='PackSkeleton')],
}
CRRL_OWN = dict(
    crrlmotion={'model.type': 'CRRLMotion', 'model.projector': dict(hidden_channels=512, out_channels=512),
                'model.momentum': dict(momentum=0.999, buffers='own'), 'model.key_head': 'fixed',
                'model.velocity': 'difference', 'model.queue_size': 64, 'model.temperature': 0.1, 'stages': None,
                'model.data_preprocessor.views': dict(query=[], key=[])},
    crrlreconstruct={'model.type': 'CRRLReconstruct', 'model.decoder_layers': 2, 'stages': None,
                     'model.data_preprocessor.views': dict(clip=[])},
    crrl={'model.type': 'CRRL', 'model.decoder_layers': 2, 'model.distill_weight': 0.1,
          'model.head': dict(hidden_channels=512, out_channels=512), 'model.teacher_dropout': True,
          'model.data_preprocessor.views': dict(clip=[])})

# docs/methods.md 9.1 to 9.4
SLIM_DATASETS = dict(ntu60=52, ntu120=82, pkummd2=6)  # iterations of an epoch
SLIM = {
    'model.type': 'SLiM',
    'model.backbone': dict(type='SkeletonViT', size='base', segment=8, mlp='swiglu', registers=4, cls_blocks=1),
    'model.head': dict(hidden_channels=2048, bottleneck_channels=256, prototypes=65536, layers=3),
    'model.momentum': dict(momentum=0.994, final_momentum=1.0),
    'model.mask_ratio': [0.5, 0.9],
    'model.masked_views': 0.5,
    'model.temperature': 0.1,
    'model.teacher_temperature': [0.04, 0.07],
    'model.warmup': 30 / 150,
    'model.patch_weight': 1.0,
    'model.koleo_weight': 0.1,
    'model.frozen_prototypes': 1 / 150,
    'model.queue_size': None,
    'model.data_preprocessor.type': 'SkeletonPreprocessor',
    'model.data_preprocessor.stream': 'joint',
    'stages': None,
    'data.split': 'xsub',
    'data.pipeline': [dict(type='SelectPersons', max_persons=2), dict(type='AlignSequence', turn=False, joint=1),
                      dict(type='ResizeFrames', frames=64), dict(type='PackSkeleton')],
    'train_dataloader.batch_size': 768,
    'optim_wrapper.type': 'PartsOptimWrapper',
    'optim_wrapper.optimizer': dict(type='AdamW', lr=1.732e-4, betas=[0.9, 0.999], weight_decay=0.04),
    'optim_wrapper.clip_grad': dict(max_norm=3),
    'optim_wrapper.clip_parts': ['backbone', 'heads.cls', 'heads.patch'],
    'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={
        'backbone.patch.weight': dict(lr_mult=0.2), 'backbone.patch.bias': dict(lr_mult=0.2, decay_mult=0.0)}),
    'param_scheduler': [
        dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=20 * 1250),
        dict(type='CosineAnnealingLR', eta_min_ratio=1e-6 / 1.732e-4, by_epoch=False, begin=20 * 1250, end=150 * 1250),
        dict(type='CosineAnnealingParamScheduler', param_name='weight_decay', eta_min_ratio=0.2 / 0.04, by_epoch=False,
             begin=0, end=150 * 1250)],
}
GEOMETRY = [('SpatialFlip', dict(p=0.5, mirror=True)),
            ('Rescale', dict(p=0.5, amplitude=0.15, centred=True, by='limb')),
            ('TiltRotate', dict(p=0.5, degrees=17.2))]


def window(low: float, high: float, frames: int, least: int):
    return 'CropResize', dict(p=1, scale=(low, high), frames=frames, least=least, sample=True)


def noise(p: float, std: float):
    return 'GaussianNoise', dict(p=p, std=std, absent=True)


SHORT = [[window(*crop), *GEOMETRY, noise(0.5, 0.01)] for crop in (
    (0.35, 0.7, 32, 16), (0.15, 0.4, 16, 16), (0.05, 0.2, 8, 8))]
SLIM_VIEWS = dict(
    _person=[('PickPerson', dict(p=1, origin='spine', needs_layout=True))],
    _first=[window(0.5, 1.0, 64, 16)], _second=[window(0.5, 1.0, 64, 16)], first=[*GEOMETRY, noise(1, 0.01)],
    second=[*GEOMETRY, noise(0.1, 0.05), ('AxisMask', dict(p=0.2))],
    **{f'local_{i + 1}': SHORT[length] for i, length in enumerate((0, 0, 1, 1, 1, 1, 2, 2))})
SLIM_ORIGIN = dict(_first='_person', _second='_person', first='_first', second='_second', local_1='_first',
                   local_2='_second', local_3='_first', local_4='_first', local_5='_second', local_6='_second',
                   local_7='_first', local_8='_second')


# docs/methods.md 6.2 and 6.3: encoder, views and schedule of MAMP and of the second stage of STARS
VIT = {
    'model.backbone': dict(type='SkeletonViT', size='base', segment=4),
    'model.data_preprocessor.type': 'SkeletonPreprocessor',
    'model.data_preprocessor.stream': 'joint',
    'train_dataloader.batch_size': 128,
    'train_dataloader.sampler.shuffle': True,
    'data.split': 'xsub',
    'data.pipeline': [dict(type='SelectPersons', max_persons=2), dict(type='AlignSequence', turn=False, joint=1),
                      dict(type='ResizeFrames', frames=120), dict(type='PackSkeleton')],
}
MAMP = {
    'model.type': 'MAMP', 'model.mask_ratio': 0.9, 'model.target': 'motion', 'model.standardise': True,
    'model.decoder_channels': 256, 'model.decoder_heads': 8,
    'model.data_preprocessor.views': dict(clip=[dict(type='CropResize', scale=(0.5, 1.0)),
                                                dict(type='TiltRotate', degrees=17.2)]),
    'optim_wrapper': dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0)),
    'param_scheduler': [
        dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', by_epoch=True, begin=20, eta_min=5e-4, convert_to_iter_based=True)],
    'train_cfg': dict(by_epoch=True, max_epochs=400),
}
MAMP_OWN = dict(ntu60=(0.8, 3), ntu120=(0.75, 5), pkummd2=(0.8, 5))  # tau and depth of the decoder
STARS = {
    'model.type': 'NNTuning', 'model.queue_size': 32768, 'model.predictor_channels': 4096, 'model.temperature': 0.07,
    'model.data_preprocessor.views': dict(first=[]),
    'optim_wrapper.optimizer': dict(type='AdamW', lr=1e-3, betas=(0.9, 0.95)),
    'optim_wrapper.clip_grad': dict(max_norm=3),
    'param_scheduler': [],
    'train_cfg': dict(by_epoch=True, max_epochs=10),
}
# docs/methods.md 7: what is published, apart from the encoder
USDRL = {
    'model.type': 'FeatureDecorrelation', 'model.similarity': 5.0, 'model.variance': 5.0, 'model.level_weight': 0.5,
    'optim_wrapper.optimizer': dict(type='Adam', lr=5e-4, weight_decay=1e-5),
    'param_scheduler': [dict(type='MultiStepLR', by_epoch=True, milestones=[351], gamma=0.1)],
    'train_cfg': dict(by_epoch=True, max_epochs=451), 'train_dataloader.batch_size': 384,
}


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def lookup(cfg: Config, key: str):
    """Return the value, or None if a key of the path does not exist."""
    node = cfg.to_dict()
    for part in key.split('.'):
        node = node.get(part) if isinstance(node, dict) else None
    return plain(node)


def compare(cfg: Config, table: dict):
    wrong = {key: (lookup(cfg, key), value) for key, value in table.items() if lookup(cfg, key) != plain(value)}
    assert not wrong, f'{cfg.filename}: (config, paper) {wrong}'


def check_recipe(cfg: Config, method: str, dataset: str):
    table = {**COMMON, **OWN[method], 'data.store': f'data/{dataset}'}
    if method == 'actclr':
        table['stages'] = [dict(name='aimclr', config=f'aimclr_{dataset}.py', carry=['backbone.', 'projector.'])]
    compare(cfg, table)
    assert cfg.data.prepare.endswith(f'--out data/{dataset}')


@pytest.mark.parametrize('dataset', DATASETS)
@pytest.mark.parametrize('method', METHODS)
def test_the_published_recipe(method, dataset):
    check_recipe(Config.fromfile(CONFIGS / f'{method}_{dataset}.py'), method, dataset)


@pytest.mark.parametrize('dataset', DATASETS)
def test_actclr_starts_with_the_whole_of_aimclr(dataset):
    stages = load_config(str(CONFIGS / f'actclr_{dataset}.py'))
    assert [name for name, _ in stages] == ['aimclr', 'actclr']
    check_recipe(stages[0][1], 'aimclr', dataset)


# docs/methods.md 1.4 and 2.3: what differs between the streams
BY_STREAM = {('actclr', stream): {'train_cfg.max_epochs': 300} for stream in ('bone', 'motion')}


@pytest.mark.parametrize('dataset', DATASETS)
@pytest.mark.parametrize('stream', ['joint', 'bone', 'motion'])
@pytest.mark.parametrize('method', (*METHODS, 'skeattnclr', *CRRL))
def test_every_stream(method, stream, dataset):
    """Each stage of each method on the other streams: the published recipe with the changes for the stream."""
    options = {'model.data_preprocessor.stream': stream}
    for name, cfg in load_config(str(CONFIGS / f'{method}_{dataset}.py'), options):
        table = dict(SKEATTNCLR, **{'model.local_weight': 1.0 if (dataset, stream) == ('ntu60', 'joint') else 0.5}) \
            if method == 'skeattnclr' else {**CRRL_COMMON, **CRRL_OWN[name.split('_')[0]]} if method in CRRL else \
            {**COMMON, **OWN[name.split('_')[0]]}
        table = {**table, **BY_STREAM.get((name, stream), {}), **options}
        table.pop('stages', None)
        compare(cfg, table)


@pytest.mark.parametrize('dataset', [*DATASETS, 'cmu'])
@pytest.mark.parametrize('method', CRRL)
def test_crrl(method, dataset):
    table = {**CRRL_COMMON, **CRRL_OWN[method], 'data.store': f'data/{dataset}'}
    if dataset == 'cmu':
        table['model.backbone'] = dict(table['model.backbone'], num_persons=1)
        table['data.pipeline'] = [dict(type='SelectPersons', max_persons=1), *table['data.pipeline'][1:]]
    if method == 'crrl':
        table['stages'] = [dict(name='crrlmotion', config=f'crrlmotion_{dataset}.py', carry={'backbone.': 'teacher.'})]
    compare(Config.fromfile(CONFIGS / f'{method}_{dataset}.py'), table)


@pytest.mark.parametrize('dataset', [*MAMP_OWN])
def test_mamp_and_its_tuning(dataset):
    stages = load_config(str(CONFIGS / f'mamp_{dataset}.py'))
    assert [name for name, _ in stages] == ['mamp', 'nn_tuning']
    tau, depth = MAMP_OWN[dataset]
    compare(stages[0][1], {**VIT, **MAMP, 'data.store': f'data/{dataset}', 'model.tau': tau,
                           'model.decoder_depth': depth})
    compare(stages[1][1], {**VIT, **STARS, 'data.store': f'data/{dataset}', 'stages': [
        dict(name='mamp', config=f'mampmasked_{dataset}.py', carry=['backbone.']), dict(name='nn_tuning')]})


@pytest.mark.parametrize('dataset', [*MAMP_OWN])
def test_feature_decorrelation(dataset):
    cfg = Config.fromfile(CONFIGS / f'decorrelation_{dataset}.py')
    compare(cfg, {**USDRL, 'data.store': f'data/{dataset}'})
    assert [*cfg.model.data_preprocessor.views] == ['first', 'second', 'third', 'fourth']


def test_what_is_built_of_mamp_and_its_tuning():
    """Sizes of the encoder, the published rates of its blocks, and which parameters do not decay."""
    masked, tuned = built('mampmasked_ntu60'), built('mamp_ntu60')
    for model in (masked, tuned):
        assert (model.pooling, model.backbone.out_channels, len(model.backbone.blocks)) == ('mean', 256, 8)
    free = {name for name, p in tuned.named_parameters() if p.requires_grad}
    assert {name.split('.')[2] for name in free if name.startswith('backbone.blocks.')} == {'4', '5', '6', '7'}
    assert {name for name in free if name.startswith('backbone.') and '.blocks.' not in name} == {
        'backbone.norm.weight', 'backbone.norm.bias'}
    rates = groups('mamp_ntu60', tuned)
    assert rates['backbone.norm.weight'][0] == rates['predictor.mlp.0.weight'][0] == 1e-3
    for block in range(4, 8):
        assert rates[f'backbone.blocks.{block}.mlp.0.weight'][0] == pytest.approx(1e-3 * .45 ** (8 - block))
    decay = {name: group[1] for name, group in groups('mampmasked_ntu60', masked).items()}
    assert decay['backbone.blocks.0.mlp.0.weight'] == decay['decoder.0.mlp.0.weight'] == .05
    assert decay['backbone.patch.bias'] == decay['backbone.blocks.0.norm1.weight'] == decay['decoder_norm.weight'] == 0


def groups(name: str, model) -> dict:
    """Return the rate and the weight decay of each parameter."""
    wrapper = build_optim_wrapper(model, Config.fromfile(CONFIGS / f'{name}.py').optim_wrapper)
    made = {id(p): (group['lr'], group['weight_decay']) for group in wrapper.optimizer.param_groups
            for p in group['params']}
    return {key: made[id(p)] for key, p in model.named_parameters() if id(p) in made}


@pytest.mark.parametrize('dataset', SLIM_DATASETS)
def test_slim(dataset):
    cfg = Config.fromfile(CONFIGS / f'slim_{dataset}.py')
    compare(cfg, {**SLIM, 'data.store': f'data/{dataset}'})
    assert 187_500 <= cfg.train_cfg.max_epochs * SLIM_DATASETS[dataset] < 187_600


def test_what_is_built_of_slim():
    """Parameters (docs/methods.md 9.3) and views as they run. The heads are small here, as the published ones are
    large."""
    cfg = Config.fromfile(CONFIGS / 'slim_ntu60.py').model
    cfg.backbone.layout = cfg.data_preprocessor.layout = 'ntu25'
    cfg.head.prototypes = 8
    model = MODELS.build(cfg)
    own = sum(p.numel() for name, p in model.backbone.named_parameters() if name != 'joints')
    assert own + 25 * 256 + model.mask_token.numel() + 256 == 6_368_768  # and a position of the class token
    assert [layer.weight.shape for layer in model.heads['cls'].mlp[::2]] == [(2048, 256), (2048, 2048), (256, 2048)]
    made = model.data_preprocessor
    assert (model.pooling, model.concat_persons, made.alignment, made.velocity) == ('mean', None, 'none', False)
    assert (made.keep_absent, len(model.recent), model.evaluated) == (False, 0, model.teacher.backbone)
    assert effective(made) == SLIM_VIEWS and made.origin == SLIM_ORIGIN
    assert made.view_names == ['first', 'second', *(f'local_{i}' for i in range(1, 9))]


def test_what_is_built_of_skeattnclr():
    """Arguments that the config does not name, and the views as they run (docs/methods.md 0.4, 2.1, 2.2)."""
    model = built('skeattnclr_ntu60')
    made = model.data_preprocessor
    assert (model.pooling, model.in_batch, made.alignment, made.velocity) == ('mean', False, 'none', False)
    assert (model.backbone.absent, model.key_encoder.final_momentum) == ('encode', 1.0)
    assert model.queue.keys.shape == (32768, 128)
    assert effective(made) == dict(query=WEAK, key=WEAK, mixed=[
        ('SwapParts', dict(p=1, parts=(3, 4), cells=(4, 7), cell=4, fill='partner', joints=None))])
    assert made.origin == dict(mixed='query')


def test_what_is_built_of_crrl():
    """Parameters of encoder, decoder and heads (docs/methods.md 3.2)."""
    def count(module):
        return sum(p.numel() for p in module.parameters())
    motion, fused = built('crrlmotion_ntu60'), built('crrl_ntu60')
    assert count(motion.backbone) == count(fused.teacher) == 1_809_408
    assert count(motion.projector) == count(fused.head) == 525_312 and count(fused.decoder) == 434_700
    assert motion.queue.keys.shape == (64, 512) and not motion.in_batch
    assert count(built('crrl_cmu', 'cmu31').backbone) == 1_721_856


def built(name: str, layout: str = 'ntu25'):
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    cfg.backbone.layout = cfg.data_preprocessor.layout = layout
    return MODELS.build(cfg)


def effective(preprocessor) -> dict:
    """The operators of each view with all of their arguments."""
    return {name: [(type(op).__name__, {key: value for key, value in vars(op).items() if key != 'layout'})
                   for op in ops] for name, ops in preprocessor.views.items()}


@pytest.mark.parametrize('method', METHODS)
def test_what_is_built_is_what_was_published(method):
    """Arguments that no config names have to be the published ones too (docs/methods.md 0.4 to 0.6, 1.2, 1.3)."""
    model = built(f'{method}_ntu60')
    made = model.data_preprocessor
    assert (model.pooling, model.in_batch, made.alignment, made.keep_absent) == ('mean', False, 'none', False)
    assert (model.backbone.absent, model.backbone.in_channels, model.key_encoder.final_momentum) == ('encode', 3, None)
    assert model.queue.keys.shape == (OWN[method]['model.queue_size'], 128)
    count = sum(p.numel() for part in (model.backbone, model.projector) for p in part.parameters())
    assert count == 920_068 and sum(p.numel() for p in model.parameters()) == 1_840_136
    if method == 'aimclr':
        assert model.mined == 1
    if method == 'actclr':
        assert model.contrast_weight == 0
    assert effective(made) == VIEWS[method]
    assert all(op.layout is None or op.layout.name == 'ntu25' for ops in made.views.values() for op in ops)


@pytest.mark.parametrize('dataset', DATASETS)
@pytest.mark.parametrize('method', (*METHODS, 'skeattnclr', *CRRL))
def test_only_the_curriculum_acts_besides_the_method(method, dataset):
    """No other hook touches the published recipes; their queues start with random directions."""
    hooks = deciding_hooks(Config.fromfile(CONFIGS / f'{method}_{dataset}.py'))
    assert [*hooks['default_hooks']] == (['curriculum'] if method == 'actclr' else []) and not hooks['custom_hooks']


def test_the_curriculum_names_operators_that_exist():
    cfg = Config.fromfile(CONFIGS / 'actclr_ntu60.py')
    hook = HOOKS.build(cfg.default_hooks.curriculum)
    for view, extra in dict(normal=5, strong=7).items():
        types = [op['type'] for op in cfg.model.data_preprocessor.views[view]]
        assert sum(name in hook.core for name in types) == 2 and len(types) == 2 + extra


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_noise_gives_absent_persons_a_body_in_the_papers_recipes_only(path):
    """The paper configs keep the published behaviour. Every other recipe leaves absent persons at zero."""
    views = Config.fromfile(path).model.data_preprocessor.get('views') or {}
    noise = [op for ops in views.values() for op in ops if isinstance(op, dict) and op['type'] == 'GaussianNoise']
    published = path.stem.split('_')[1] in DATASETS
    assert all(op.get('absent', True) == published for op in noise)


def test_every_promised_config_is_there():
    promised = {f'{method}_{dataset}.py' for method in (*METHODS, 'skeattnclr', *CRRL)
                for dataset in ('toy', 'nwucla', 'sbu', 'msr', *DATASETS)}
    promised |= {f'{method}_{dataset}.py' for method in ('mamp', 'mampmasked', 'decorrelation', 'byol')
                 for dataset in ('toy', 'nwucla', 'sbu', 'msr', 'bandai', 'ntu60', 'ntu120', 'pkummd2')}
    promised |= {f'{method}_{dataset}.py' for method in ('vicreg', 'barlowtwins') for dataset in ('toy', 'nwucla')}
    promised |= {f'slim_{dataset}.py' for dataset in ('toy', 'nwucla', 'sbu', 'msr', 'bandai', *SLIM_DATASETS)}
    promised |= {'crrl_cmu.py', *(f'simclr_{dataset}.py' for dataset in ('toy', 'nwucla', 'sbu', 'msr'))}
    assert promised <= {path.name for path in CONFIGS.glob('*.py')}


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_the_first_line_runs_the_config(path):
    """The command parses, with all of its optional arguments, and the config and its stages load."""
    text = path.read_text(encoding='utf-8')
    found = re.fullmatch(r'# python (tools/train\.py) (configs/\S+\.py)((?: \[[^]]+\])*)(?: +\(.*\))?',
                         text.splitlines()[0])
    assert found, f'{path.name} begins with {text.splitlines()[0]!r}'
    tool, config, options = found.groups()
    assert config == f'configs/{path.name}' and (CONFIGS.parent / tool).is_file()
    args = make_parser('train').parse_args([config, *shlex.split(re.sub(r'[][]', '', options))])
    stages = load_config(str(CONFIGS.parent / args.config), args.cfg_options)
    method = path.stem.split('_')[0]
    assert len(stages) == (2 if method in STAGED else 1)
    assert stages[-1][1].model.type.lower() == CLASSES.get(method, method)
    for key, value in args.cfg_options.items():
        assert all(lookup(cfg, key) == value for _, cfg in stages)
    assert len(text.splitlines()) <= 40
