"""What a config or an option of the command line says has an effect, or is refused with the name of its key."""
import inspect
import re

import pytest

from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.hooks import AugmentCurriculumHook, CheckpointHook, KNNHook
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

STEPS = "[dict(type='ResizeFrames', frames=8), dict(type='PackSkeleton')]"
CONFIGS = [
    ('train_dataloader = dict(shuffle=False)', 'train_dataloader.shuffle is not read: write train_dataloader.sampler'),
    ('train_dataloader = dict(timeout=5)', 'train_dataloader.timeout: 5 is for workers'),
    ('train_dataloader = dict(num_batch_per_epoch=0)', 'train_dataloader.num_batch_per_epoch: 0 is not an integer'),
    ("train_dataloader = dict(collate_fn=dict(type='pseudo_collate'))", 'train_dataloader.collate_fn: pseudo_collate'),
    ('optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mul=0.))', 'norm_decay_mul: .* did you mean norm_decay_mult?'),
    ("optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult='a'))", "norm_decay_mult: 'a' is not a number"),
    ("optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.': dict(lr_mul=.1)}))",
     r"custom_keys\['backbone.'\].lr_mul is not read; there are lr_mult, decay_mult"),
    ('optim_wrapper = dict(clip_grad=dict(max_nrm=5))', 'clip_grad.max_nrm: clipping by norm has no such argument'),
    ("optim_wrapper = dict(clip_grad=dict(max_norm='a'))", "clip_grad.max_norm: 'a' is not a number above 0"),
    ("optim_wrapper = dict(clip_grad=dict(type='value', clip_value=1))", 'max_norm: clipping by value has no such'),
    ("optim_wrapper = dict(clip_grad=dict(type='both'))", "clip_grad.type: 'both' is not 'norm' or 'value'"),
    ('optim_wrapper = dict(clip_grad=5)', r'clip_grad: 5 is not a dict; write dict\(max_norm='),
    ("default_hooks = dict(checkpoint=dict(save_best='auto'))", 'checkpoint.save_best: CheckpointHook has no such'),
    ('default_hooks = dict(checkpoint=dict(by_epoch=False))', 'checkpoint.by_epoch: CheckpointHook has no such'),
    ("default_hooks = dict(checkpoint=dict(out_dir='x'))", 'checkpoint.out_dir: CheckpointHook has no such'),
    ("custom_hooks = [dict(type='EarlyStoppingHook', monitor='loss')]", 'custom_hooks.0: EarlyStoppingHook acts only'),
    ("param_scheduler = [dict(type='ReduceOnPlateauLR', monitor='loss')]",
     'param_scheduler.0.type: ReduceOnPlateauLR acts only after a validation loop'),
    ("train_dataloader = dict(sampler=dict(type='InfiniteSampler'))",
     'train_dataloader.sampler.type: InfiniteSampler never ends an epoch'),
    (f"default_hooks = dict(knn=dict(evaluation=dict(store='x', train_split='a', test_spilt='b', pipeline={STEPS})))",
     'knn.evaluation.test_spilt: SkeletonDataset has no such argument; did you mean test_split'),
    ('model = dict(data_preprocessor=dict(seed=5))', 'seed is 5, but it is not read: randomness.seed'),
    ("stages = [dict(name='a', config='mmskelssl::aimclr_toy.py', carry='backbone.')]",
     "stages.0.carry is 'backbone.'; it must be a list")]


@pytest.mark.parametrize('text, message', CONFIGS, ids=[text[:60] for text, _ in CONFIGS])
def test_configs(own_config, text, message):
    with pytest.raises(UserError, match=message):
        complete(load_config(own_config(text + '\n'))[-1][1])


@pytest.mark.parametrize('text', [
    "optim_wrapper = dict(clip_grad=dict(_delete_=True, type='value', clip_value=1))",
    "optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.': dict(lr_mult=.1, betas=(.9, .9))}))",
    "optim_wrapper = dict(constructor='Mine', paramwise_cfg=dict(layers=3, custom_keys=['a']))",
    "custom_hooks = [dict(type='EMAHook'), dict(type='SyncBuffersHook')]",
    'model = dict(data_preprocessor=dict(seed=5))\nrandomness = dict(seed=5)'])
def test_what_has_an_effect_is_taken(own_config, text):
    complete(load_config(own_config(text + '\n'))[-1][1])


def test_a_complete_config_takes_another_seed(own_config):
    cfg, _ = complete(load_config(own_config())[-1][1], 1)
    assert complete(cfg, 2)[0].model.data_preprocessor.seed == 2


@pytest.mark.parametrize('text, message', [
    ("optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbne.': dict(lr_mult=.1)}))",
     "no parameter of SkeletonCLR with this encoder has 'backbne.' in its name"),
    ('train_dataloader = dict(num_batch_per_epoch=1000)', 'asks for 32000 clips, but the split has'),
    ('model["momentum"] = 0.9', r'momentum is 0.9; it must be a dict of arguments, such as dict\(momentum='),
    ('model["projector"] = 3', 'projector is 3; it must be a dict of arguments'),
    ('model["data_preprocessor"] = dict(views=3)', 'data_preprocessor.views is 3; it must'),
    ('model["data_preprocessor"] = dict(views=dict(key="query"))',
     "data_preprocessor.views.key is 'query'; it must be a list of augmentations"),
    ("model = dict(init_cfg=dict(type='Xaver'))", "unknown weight_initializer 'Xaver'; did you mean Xavier"),
    ("custom_hooks = [dict(type='EMAHook', momentum=5)]", r'\.py: momentum must be in range')])
def test_runs(own_config, tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        train(own_config(text + '\n'), str(tmp_path / 'work'))


@pytest.mark.parametrize('key, message', [
    ('stages', 'stages are loaded before options are set'),
    ('custom_imports.imports', 'modules are imported before options are set'),
    ('stages.aimclr.custom_imports', 'modules are imported before options are set')])
def test_options_that_come_too_late(tmp_path, key, message):
    """Without stages, ActCLR would be trained in the folder of AimCLR, and overwrite its checkpoints."""
    with pytest.raises(UserError, match=f'--cfg-options {key}: {message}'):
        train('configs/actclr_toy.py', str(tmp_path), cfg_options={key: None})


@pytest.mark.parametrize('options', [['train_cfg.max_epochs=1'], 3, {3: 4}])
def test_options_are_a_dict(tmp_path, options):
    with pytest.raises(UserError, match='cfg_options is .*; it must be a dict from dotted keys to values'):
        train('configs/simclr_toy.py', str(tmp_path), cfg_options=options)


@pytest.mark.parametrize('given', [dict(interval=0), dict(interval='a'), dict(interval=2.5), dict(max_keep_ckpts=0),
                                   dict(save_begin=-1)])
def test_values_of_the_checkpoint_hook(given):
    with pytest.raises(UserError, match=f'CheckpointHook: {min(given)} is '):
        CheckpointHook(**given)
    assert CheckpointHook(interval=-1, max_keep_ckpts=2).by_epoch


@pytest.mark.parametrize('given, message', [
    ('data/toy', "evaluation is 'data/toy'"), (dict(store='x'), 'evaluation.pipeline is missing'),
    (dict(stores=3), 'evaluation is '), (dict(stores=dict(store='x')), "evaluation.stores.store is 'x'"),
    (dict(stores=dict(a=dict(store='x', pipeline=[1]))), 'evaluation.stores.a.train_split is missing')])
def test_evaluation_of_the_knn_hook(given, message):
    with pytest.raises(UserError, match=f'KNNHook: {message}'):
        KNNHook(evaluation=given)


@pytest.mark.parametrize('given, message', [
    (dict(phases=[dict(begin=0, kep=dict(a=1))]), 'phases.0.kep does not exist; there are begin, keep and core'),
    (dict(phases=dict(begin=0)), 'phases is .*; it must be a list'),
    (dict(phases=[dict(begin=0, keep=3)]), 'phases.0.keep is 3'),
    (dict(phases=[dict(begin=0, core='no')]), "phases.0.core is 'no'"),
    (dict(phases=[dict(begin=0), dict(begin=0)]), 'two phases begin after the same number of epochs'),
    (dict(phases=[], core=('Sheer',)), "core names 'Sheer', which is no augmentation")])
def test_phases_of_a_curriculum(given, message):
    with pytest.raises(UserError, match=message):
        AugmentCurriculumHook(**given)
    assert AugmentCurriculumHook([dict(begin=0)], core='Shear').core == ('Shear',)


def test_the_checkpoint_hook_takes_no_other_argument():
    """They would be ignored, or hide checkpoints from resuming, later stages and commands."""
    assert set(inspect.signature(CheckpointHook).parameters) == {'interval', 'max_keep_ckpts', 'save_begin'}


def test_what_comes_after_the_end_is_said(own_config, tmp_path):
    """A run may be shorter than its schedule, so this is a warning."""
    config = own_config("param_scheduler = [dict(type='MultiStepLR', milestones=[1, 250, 300]),\n"
                        "    dict(type='LinearLR', by_epoch=False, begin=0, end=5),\n"
                        "    dict(type='LinearLR', by_epoch=False, begin=999, end=1000)]\n")
    folder = tmp_path / 'work'
    train(config, str(folder))
    log = next(folder.glob('*/*.log')).read_text()
    assert 'WARNING - param_scheduler.0: the run ends after 2 epochs, before milestones 250, 300\n' in log
    assert 'param_scheduler.1:' not in log
    assert re.search(r'param_scheduler.2: the run ends after \d+ iterations, before begin 999\n', log)
