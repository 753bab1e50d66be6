"""Named hooks: what a config may add, change and remove, and which hooks every run has regardless of the config."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmskelssl.engine.hooks import KNNHook, NonFiniteHook, PlainCheckpointHook, ProgressHook
from mmskelssl.engine.named_hooks import ENSURED, complete_hooks, deciding_hooks
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.registry import HOOKS

ROOT = Path(__file__).resolve().parents[2]


def completed(**given) -> Config:
    cfg = Config(given)
    complete_hooks(cfg)
    return cfg


@pytest.mark.parametrize('given', [{}, dict(default_hooks=None), dict(custom_hooks=[dict(type='EmptyCacheHook')]),
                                   dict(default_hooks=dict(knn=None))])
def test_every_run_has_what_its_promises_rest_on(given):
    hooks = completed(**given).default_hooks
    assert {name: hook['type'] for name, hook in hooks.items()} == {name: kind for name, (kind, _) in ENSURED.items()}


def test_options_are_changed_by_key():
    hooks = completed(default_hooks=dict(checkpoint=dict(interval=3), progress=dict(type='ProgressHook', priority=9)))
    assert hooks.default_hooks.checkpoint == dict(type='mmskelssl.CheckpointHook', interval=3)
    assert hooks.default_hooks.progress == dict(type='ProgressHook', priority=9)


@pytest.mark.parametrize('name', [*ENSURED])
def test_what_promises_rest_on_is_neither_removed_nor_replaced(name):
    with pytest.raises(UserError, match=f'default_hooks.{name} = None: this hook cannot be removed; without it'):
        completed(default_hooks={name: None})
    with pytest.raises(UserError, match=f'default_hooks.{name} is a EmptyCacheHook of mmengine'):
        completed(default_hooks={name: dict(type='EmptyCacheHook')})


def test_monitors_and_method_hooks_may_be_left_out():
    given = dict(knn=None, progress_bar=None, logger=None, timer=None, curriculum=None)
    hooks = completed(default_hooks=given).default_hooks
    assert set(hooks) == {*ENSURED, 'logger', 'timer'} and hooks.logger is hooks.timer is None


@pytest.mark.parametrize('given, message', [
    (dict(default_hooks=[1]), 'default_hooks is .*must be a dict of hooks by name'),
    (dict(custom_hooks=dict(type='X')), 'custom_hooks is .*must be a list'),
    (dict(custom_hooks=[3]), r'custom_hooks.0 is 3; it must be dict\(type=...\)'),
    (dict(default_hooks=dict(chekpoint=dict(interval=2))), "chekpoint.*did you mean 'checkpoint'"),
    (dict(default_hooks=dict(progress='nonsense')), "default_hooks.progress is 'nonsense'"),
    (dict(custom_hooks=[dict(type='ProgressHook')]), 'custom_hooks.0: the run has .* default_hooks.progress:'),
    (dict(custom_hooks=[dict(type='mmengine.CheckpointHook', interval=1)]),
     'custom_hooks.0: .* default_hooks.checkpoint:'),
    (dict(default_hooks=dict(also=dict(type='CheckpointHook'))), 'default_hooks.also: .* default_hooks.checkpoint:'),
    (dict(default_hooks=dict(knn=dict(type='KNNHook')), custom_hooks=[dict(type='KNNHook')]), 'default_hooks.knn'),
    (dict(default_hooks=dict(checkpoint=dict(type='mmengine.CheckpointHook'))), 'checkpoint is a CheckpointHook of mm'),
    (dict(method_hooks=[dict(type='WeightNormHook'), dict(type='AugmentCurriculumHook', phases=[])]),
     r"method_hooks is no longer read; write default_hooks = dict\(weight_norm=dict\(type='WeightNormHook', ...\), "
     'augment_curriculum='),
    (dict(method_hooks=[]), r'method_hooks .*default_hooks = dict\(NAME=None\)')])
def test_mistakes_are_one_line(given, message):
    with pytest.raises(UserError, match=message) as error:
        completed(**given)
    assert '\n' not in str(error.value)


def test_a_monitor_decides_nothing_and_an_unknown_hook_may():
    cfg = completed(default_hooks=dict(knn=dict(type='KNNHook', interval=3), logger=dict(type='LoggerHook'),
                                       curriculum=dict(type='AugmentCurriculumHook', phases=[])),
                    custom_hooks=[dict(type='ProgressBarHook'), dict(type='SomeoneElsesHook', strength=2)])
    assert deciding_hooks(cfg) == dict(
        default_hooks=dict(curriculum=dict(type='AugmentCurriculumHook', phases=[])),
        custom_hooks=[dict(type='SomeoneElsesHook', strength=2)])


@HOOKS.register_module(force=True)
class WitnessHook(Hook):
    """Records the hooks of the run, and the progress that the model was given in each iteration."""
    kinds: set = set()
    seen: list = []

    def before_train(self, runner):
        self.kinds.clear(), self.seen.clear()
        self.kinds.update(type(hook) for hook in runner.hooks)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        progress = runner.model.progress
        self.seen.append((progress.epoch, progress.iteration, progress.fraction))


def test_custom_hooks_only_add(own_config, tmp_path):
    """Progress advances, neighbours are measured, NaN is detected, and checkpoints are plain data."""
    path = train(own_config("custom_hooks = [dict(type='WitnessHook')]\n"), str(tmp_path / 'work'))
    assert {ProgressHook, KNNHook, NonFiniteHook, PlainCheckpointHook} <= WitnessHook.kinds
    assert WitnessHook.seen == [(0, 0, 0), (0, 1, .25), (1, 2, .5), (1, 3, .75)]
    lines = [json.loads(line) for line in next((tmp_path / 'work').rglob('scalars.json')).open()]
    assert [line['step'] for line in lines if 'val/knn_top1' in line] == [0, 4]
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []


def test_the_second_stage_is_checked_before_the_first_is_trained(own_config, tmp_path, tiny_store):
    config = own_config("method_hooks = [dict(type='FillQueueHook')]\n"
                        f"stages = [dict(name='first', config='{ROOT}/configs/aimclr_toy.py')]\n")
    with pytest.raises(UserError, match=r"mine.py: method_hooks .*fill_queue=dict\(type='FillQueueHook'"):
        train(config, str(tmp_path / 'work'), cfg_options={'data.store': tiny_store})
    assert not list((tmp_path / 'work').rglob('*.log'))
