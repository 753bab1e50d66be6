"""Values of another type than the classes of torch and mmengine take are refused with their key before a run."""
import pytest

from mmskelssl.engine.config import complete, load_config
from mmskelssl.errors import UserError

ADAM = 'optim_wrapper = dict(optimizer=dict(_delete_=True, type="Adam", {}))'
STEPS = 'param_scheduler = [dict(type="StepLR", {})]'
CASES = [
    (ADAM.format('lr="1e-3"'), "optim_wrapper.optimizer.lr: '1e-3' is not a number"),
    (ADAM.format('lr=True'), 'optim_wrapper.optimizer.lr: True is not a number'),
    (ADAM.format('lr=None'), 'optim_wrapper.optimizer.lr: None is not a number'),
    (ADAM.format('fused="yes"'), "optim_wrapper.optimizer.fused: 'yes' is not True or False"),
    (STEPS.format('step_size="3"'), "param_scheduler.0.step_size: '3' is not a number"),
    (STEPS.format('step_size=3, by_epoch="no"'), "param_scheduler.0.by_epoch: 'no' is not True or False"),
    (STEPS.format('step_size=3, convert_to_iter_based="no"'), "convert_to_iter_based: 'no' is not True or False"),
    ('train_dataloader = dict(sampler=dict(shuffle="no"))', "sampler.shuffle: 'no' is not True or False"),
    ('train_dataloader = dict(num_workers=1, prefetch_factor="4")', "prefetch_factor: '4' is not a number"),
    ('train_dataloader = dict(pin_memory="no")', "train_dataloader.pin_memory: 'no' is not True or False"),
    ('default_hooks = dict(logger=dict(ignore_last="no"))', "logger.ignore_last: 'no' is not True or False"),
    ('custom_hooks = [dict(type="EMAHook", begin_epoch="1")]', "custom_hooks.0.begin_epoch: '1' is not a number"),
    ('log_processor = dict(window_size="9")', "log_processor.window_size: '9' is not a number"),
    ('env_cfg = dict(cudnn_benchmark="no")', "env_cfg.cudnn_benchmark: 'no' is not True or False"),
    ('auto_scale_lr = dict(enable="no")', "auto_scale_lr.enable: 'no' is not True or False"),
    ('optim_wrapper = dict(paramwise_cfg=dict(bypass_duplicate=3))', 'bypass_duplicate: 3 is not True or False'),
    ('optim_wrapper = dict(clip_grad=dict(norm_type="two"))', "clip_grad.norm_type: 'two' is not a number"),
    ('optim_wrapper = dict(clip_grad=dict(error_if_nonfinite="no"))', "nonfinite: 'no' is not True or False"),
    ('train_cfg = dict(by_epoch="no")', "train_cfg.by_epoch: 'no' is not True or False"),
    ('auto_scale_lr = True', 'auto_scale_lr: True is not a dict'), ('env_cfg = None', 'env_cfg: None is not a dict'),
    ('env_cfg = dict(mp_cfg=3)', 'env_cfg.mp_cfg: 3 is not a dict'), ('visualizer = 3', 'visualizer: 3 is not a dict'),
    ('optim_wrapper = dict(optimizer="SGD")', "optim_wrapper.optimizer: 'SGD' is not a dict"),
    ('train_dataloader = dict(sampler="DefaultSampler")', "sampler: 'DefaultSampler' is not a dict"),
    ('model_wrapper_cfg = 3', 'model_wrapper_cfg: 3 is not a dict'),
    ('model_wrapper_cfg = dict(foo=3)', 'model_wrapper_cfg.foo: MMDistributedDataParallel has no such argument'),
    ('param_scheduler = ["StepLR"]', "param_scheduler.0: 'StepLR' is not a dict with a type"),
    ('param_scheduler = dict(_delete_=True, backbone=[dict(type="StepLR", step_size=1)])', 'param_scheduler.0: {.*}'),
    ("train_dataloader = dict(batch_size='8')", "mine.py: train_dataloader.batch_size: '8' is not an integer of at "
                                                'least 1$')]


@pytest.mark.parametrize('text, message', CASES, ids=[text[:60] for text, _ in CASES])
def test_refused(own_config, text, message):
    with pytest.raises(UserError, match=message):
        complete(load_config(own_config(text + '\n'))[-1][1])


@pytest.mark.parametrize('text', [
    ADAM.format('lr=1, fused=None, betas=(0.9, 0.99)'), 'optim_wrapper = dict(clip_grad=dict(norm_type="inf"))',
    'param_scheduler = [dict(type="CosineAnnealingLR", T_max=None, begin=0.5, end=2)]',
    'train_dataloader = dict(prefetch_factor=None, sampler=dict(seed=None))', 'log_processor = dict(window_size=5)',
    'param_scheduler = None\nmodel_wrapper_cfg = dict(broadcast_buffers=True, static_graph=False)\nvisualizer = None'])
def test_taken(own_config, text):
    complete(load_config(own_config(text + '\n'))[-1][1])


@pytest.mark.parametrize('text, message', [
    ('optim_wrapper = dict(optimizer=dict(params=[]))', 'optim_wrapper.optimizer.params: AdamW has no such argument'),
    ('optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(params=[]))))',
     r"custom_keys\['backbone'\].params is not read"),
    (STEPS.format('step_size=3, optimizer=1'), 'param_scheduler.0.optimizer: StepLR has no such argument'),
    ('train_dataloader = dict(sampler=dict(dataset=3))', 'sampler.dataset: DefaultSampler has no such argument'),
    ('train_cfg = dict(dataloader=3)', 'train_cfg.dataloader: EpochBasedTrainLoop has no such argument')])
def test_what_the_run_gives_itself(own_config, text, message):
    with pytest.raises(UserError, match=message):
        complete(load_config(own_config(text + '\n'))[-1][1])
