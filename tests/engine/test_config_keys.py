"""All top-level keys that users of OpenMMLab know, which are the rows of the table in docs/train.md."""
import logging
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmskelssl.engine import train as train_module
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.config_keys import FORMER, INSTEAD, READ, other_names
from mmskelssl.engine.distributed import prepare_distributed
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / 'docs/train.md').read_text()


class Stop(Exception):
    """Raised when the runner is built and training would begin."""


@pytest.fixture
def started(own_config, tmp_path, monkeypatch):
    """Return a function from the text of additional keys to the runner of a run just before training begins."""
    def start(text: str = '', work_dir: str | None = str(tmp_path / 'work'), **options) -> Runner:
        kept = []
        monkeypatch.setattr(Runner, 'train', lambda self: kept.append(self) or (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            train(own_config(text), work_dir, **options)
        return kept[0]
    return start


def refused(config: str, **options) -> str:
    with pytest.raises(UserError) as error:
        for _, cfg in load_config(config, options):
            complete(cfg)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_the_table_has_every_key():
    table = DOC.partition('## Keys of a config')[2].partition('\n## ')[0]
    rows = re.findall(r'^\| (`[^|]+`) \| [^|]+ \|$', table, re.M)
    named = {name for row in rows for name in re.findall(r'`(\w+)[`.]', row)}
    assert named >= READ - {'method_hooks'} | set(INSTEAD) | set(FORMER)


@pytest.mark.parametrize('key', sorted(INSTEAD))
def test_what_is_refused_says_what_to_write_instead(own_config, key):
    assert f'mine.py: {key} is not read: {INSTEAD[key]}' in refused(own_config(f'{key} = dict(a=1)\n'))
    load_config(own_config(f'{key} = None\n'))


@pytest.mark.parametrize('key', sorted(FORMER))
def test_names_of_other_configs(own_config, key):
    """They are refused unless they are variables of the config."""
    assert f'mine.py: {key} is not read: {FORMER[key]}' in refused(own_config(f'{key} = 3\n'))
    load_config(own_config(f'{key} = None\n'))
    load_config(own_config(f"{key} = 'AdamW'\noptim_wrapper = dict(optimizer=dict(type={key}))\n"))


@pytest.mark.parametrize('key', [
    'trian_cfg', 'optim_wraper', 'default_hook', 'custom_hook', 'val_dataloder', 'Model', 'visualiser', 'by_streams'])
def test_near_misses(own_config, key):
    line = refused(own_config(f'{key} = dict(a=1)\n'))
    assert re.search(rf'mine.py: {key} is not a key of a config; did you mean \w+\?', line)


def test_variables_are_no_nuisance(own_config, tmp_path):
    """Names that the files use are not listed, others are. Names in the shipped files are ignored."""
    names = 'turned = [1]\nmodels = dict(a=turned)\n_private = 1\nunused = models\nfor i in range(2):\n    loose = 3\n'
    config = own_config(names)
    assert other_names(load_config(config)[-1][1]) == ['i', 'loose', 'unused']
    (tmp_path / 'later.py').write_text("_base_ = ['mine.py']\nmine = _base_.unused\nmodel = dict(init_cfg=mine)\n")
    assert other_names(load_config(str(tmp_path / 'later.py'))[-1][1]) == ['i', 'loose']
    assert other_names(load_config(str(ROOT / 'configs/simclr_nwucla.py'))[-1][1]) == []


def test_other_names_are_listed_once_in_the_log(started, tmp_path):
    started('nonsense = 3\n')
    text = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert len(re.findall(r'WARNING - .*mine.py: nothing reads nonsense\n', text)) == 1


def test_a_wrapper_of_mixed_precision(started, own_config, tmp_path, monkeypatch):
    text = "optim_wrapper = dict(type='AmpOptimWrapper')\n"
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match='optim_wrapper.type: AmpOptimWrapper .* needs a GPU; write BF16OptimWrapper'):
        train(own_config(text), 'nowhere')
    complete(load_config(own_config(text))[-1][1])  # what a GPU has trained can be measured here
    with monkeypatch.context() as patch, pytest.raises(UserError, match='--amp would replace optim_wrapper.type'):
        patch.setattr(torch.cuda, 'is_available', lambda: True)
        train(own_config(text), str(tmp_path / 'gpu'), amp=True)
    assert type(started(amp=True).optim_wrapper).__name__ == 'BF16OptimWrapper'


def test_optim_wrapper_as_in_mmengine(started):
    runner = started("optim_wrapper = dict(accumulative_counts=3, paramwise_cfg=dict(norm_decay_mult=0.))\n"
                     'param_scheduler = None\n')
    assert runner.optim_wrapper._accumulative_counts == 3 and runner.param_schedulers is None
    assert {group['weight_decay'] for group in runner.optim_wrapper.param_groups} == {0., .01}


def test_auto_scale_lr(started, own_config):
    """The rate is scaled for batches of 16 in one process, and the schedules start from it."""
    base = load_config(own_config())[-1][1].optim_wrapper.optimizer.lr
    runner = started('auto_scale_lr = dict(enable=True, base_batch_size=64)\n')
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == base / 4
    assert started('auto_scale_lr = dict(base_batch_size=64)\n', resume='auto').optim_wrapper.param_groups[0][
        'initial_lr'] == base


def test_the_learning_rate_is_scaled_on_request(started, own_config, tmp_path):
    """The base is the batch size of the config, regardless of that of the command line, and the log states the rule."""
    base = load_config(own_config())[-1][1].optim_wrapper.optimizer.lr
    options = {'train_dataloader.batch_size': 8}
    runner = started(auto_scale_lr=True, cfg_options=options)
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == base / 2
    assert 'learning rate: times 0.5, for 8 clips in a step instead of 16' in log_of(tmp_path)
    runner = started(cfg_options=options, work_dir=str(tmp_path / 'plain'))
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == base
    assert 'learning rate: as in the config, for 8 clips in a step\n' in log_of(tmp_path, 'plain')
    cfg = load_config(own_config('auto_scale_lr = dict(enable=True)\n'), options)[-1][1]
    assert cfg.auto_scale_lr.base_batch_size == 16


def log_of(tmp_path, work_dir: str = 'work') -> str:
    return next((tmp_path / work_dir).rglob('*.log')).read_text()


def test_load_from_resume_and_work_dir(own_config, tmp_path, monkeypatch):
    """As in mmengine, they load the weights or resume the whole run. The command line takes precedence."""
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(train_module, 'run_stage', lambda name, cfg, spec, start, *_: seen.append(
        (cfg.work_dir, cfg.load_from, cfg.resume, start and start['checkpoint'])))
    for name in 'abc':
        Path(f'{name}.pth').write_bytes(b'')
    train(own_config())
    train(own_config("load_from = 'a.pth'\nwork_dir = 'there'\n"))
    train(own_config("load_from = 'a.pth'\nresume = True\n"))
    train(own_config('resume = True\n'))
    train(own_config("load_from = 'a.pth'\n"), 'here', init_from='b.pth')
    train(own_config("load_from = 'a.pth'\n"), 'here', resume='c.pth')
    assert seen == [('work_dirs/mine', None, False, None), ('there', None, False, 'a.pth'),
                    ('work_dirs/mine', 'a.pth', True, None), ('work_dirs/mine', None, False, None),
                    ('here', None, False, 'b.pth'), ('here', 'c.pth', True, None)]
    with pytest.raises(UserError, match='load_from of the config.* none.pth: no such file'):
        train(own_config("load_from = 'none.pth'\n"))
    with pytest.raises(UserError, match='resume is 3 and load_from None; they must be'):
        train(own_config('resume = 3\n'))


def test_an_earlier_stage_cannot_say_where_to_start(own_config, tmp_path):
    (tmp_path / 'first.py').write_text(f"_base_ = '{ROOT}/configs/aimclr_toy.py'\nload_from = 'a.pth'\n")
    config = own_config(f"stages = [dict(name='first', config='{tmp_path}/first.py')]\n", base='actclr_toy')
    with pytest.raises(UserError, match="first.py: load_from of the stage 'first' is not read"):
        train(config, str(tmp_path / 'work'))


def test_env_cfg(started, own_config, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    seen = []
    monkeypatch.setattr(Runner, 'set_randomness', lambda self, **_: seen.append(torch.backends.cudnn.benchmark) or
                        setattr(self, '_seed', 0) or setattr(self, '_deterministic', False))
    started('env_cfg = dict(cudnn_benchmark=True)\n')
    assert seen == [True] and not torch.backends.cudnn.benchmark  # after the run it is as before
    line = refused(own_config('env_cfg = dict(cudnn_bench=True, mp_cfg=dict(start=1))\n'))
    assert 'env_cfg.cudnn_bench: env_cfg has no such argument; did you mean cudnn_benchmark?' in line
    assert 'env_cfg.mp_cfg.start: env_cfg.mp_cfg has no such' in line


def test_the_wrapper_of_several_processes(own_config, monkeypatch):
    monkeypatch.setattr('mmskelssl.engine.distributed._start_group', lambda *_: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def wrapper(**given):
        cfg = Config(dict(launcher='pytorch', **given))
        prepare_distributed(cfg)
        return cfg.model_wrapper_cfg
    assert wrapper()['find_unused_parameters'] is False and wrapper()['broadcast_buffers'] is False
    assert wrapper(find_unused_parameters=True)['find_unused_parameters'] is True
    assert wrapper(model_wrapper_cfg=dict(broadcast_buffers=True, static_graph=True)) == dict(
        type='MMDistributedDataParallel', broadcast_buffers=True, find_unused_parameters=False, static_graph=True,
        device_ids=None)
    assert wrapper(sync_bn='torch')['type'] == 'mmskelssl.SyncBNDataParallel'
    assert 'model_wrapper_cfg.type: ' in refused(own_config(
        "model_wrapper_cfg = dict(type='MMFullyShardedDataParallel')\n"))
    assert 'find_unused_parameters: 3 is not True or False' in refused(own_config('find_unused_parameters = 3\n'))
    assert "sync_bn: 'mmcv' is not 'torch' or None" in refused(own_config("sync_bn = 'mmcv'\n"))


def test_log_level_and_log_processor(started, own_config, tmp_path):
    runner = started("log_level = 'WARNING'\nlog_processor = dict(window_size=3, num_digits=2)\n")
    assert runner.logger.level == logging.WARNING or {handler.level for handler in runner.logger.handlers} == {30}
    assert (runner.log_processor.window_size, runner.log_processor.num_digits) == (3, 2)
    assert "log_level: 'LOUD' is not a level" in refused(own_config("log_level = 'LOUD'\n"))
    assert 'log_processor.windowsize: LogProcessor has no such argument; did you mean window_size?' in refused(
        own_config('log_processor = dict(windowsize=3)\n'))


def test_tensorboard(own_config, tmp_path):
    train(own_config('train_cfg = dict(max_epochs=1)\n'), str(tmp_path / 'work'))
    assert list((tmp_path / 'work').rglob('events.out.tfevents*'))


class Recorder(types.ModuleType):
    """A stub of a tracking library that records every call."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


@pytest.mark.parametrize('library, backend, first, options', [
    ('wandb', "dict(type='WandbVisBackend', init_kwargs=dict(mode='offline', project='mine'))", 'init',
     dict(mode='offline', project='mine')),
    ('mlflow', "dict(type='MLflowVisBackend', exp_name='mine')", 'set_experiment', {})])
def test_trackers(own_config, tmp_path, monkeypatch, library, backend, first, options):
    """They receive losses and the monitors' curves. A missing library is reported in one line."""
    config = own_config(f'train_cfg = dict(max_epochs=1)\nvisualizer = dict(vis_backends=[{backend}])\n'
                        'default_hooks = dict(logger=dict(interval=1))\n')
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=f'mine.py: .*pip install {library}'):
        train(config, str(tmp_path / 'absent'))
    recorder = Recorder(library)
    recorder.run = recorder.config = recorder
    monkeypatch.setitem(sys.modules, library, recorder)
    train(config, str(tmp_path / 'work'))
    called = [name for name, _, _ in recorder.calls]
    assert first in called and options.items() <= recorder.calls[called.index(first)][2].items()
    logged = {key for name, args, _ in recorder.calls if name in ('log', 'log_metric', 'log_metrics')
              for key in (args[0] if isinstance(args[0], dict) else [args[0]])}
    assert {'loss', 'val/knn_top1', 'val/feature_std'} <= logged


def test_compile_takes_options(own_config, started, monkeypatch):
    given = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self, **options: given.append(options))
    started("compile = dict(backend='eager')\n")
    assert given == [dict(backend='eager')] * 2  # the query's encoder and the key's
    given.clear()
    started("compile = dict(backend='eager')\n", resume='auto', compile=True)
    assert given[0] == dict(backend='eager')
    for value in ('3', "'all'", "dict(part='all')"):
        assert f'compile: {eval(value)!r} is not True' in refused(own_config(f'compile = {value}\n'))


def test_compile_of_the_loss(own_config, started, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(torch, 'compile', lambda function, **options: given.append((function, options)))
    started("compile = dict(backend='eager')\n", compile='loss')
    (function, options), = given
    assert function.__name__ == 'loss' and options == dict(backend='eager')
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match='a CUDA graph needs a GPU'):
            train(own_config(), str(tmp_path / 'graph'), compile='graph')


def test_launcher_and_scope_are_those_of_the_command_line_and_the_package(own_config):
    for text, message in (("launcher = 'pytorch'\n", "launcher = 'pytorch' is not read: start the processes with"),
                          ("default_scope = 'mmpretrain'\n", "it must be 'mmskelssl'; name a type of another package")):
        with pytest.raises(UserError, match=message):
            train(own_config(text), 'nowhere')
    cfg = load_config(own_config("launcher = 'none'\n"))[-1][1]
    cfg._cfg_dict.pop('default_scope')
    assert complete(cfg)[0].default_scope == 'mmskelssl'


def test_experiment_name(started):
    assert started("experiment_name = 'trial'\n").experiment_name.startswith('trial_')
    assert started(resume='auto').experiment_name.startswith('mine_')


def test_custom_imports_bring_what_the_config_names(own_config, tmp_path):
    (tmp_path / 'plugged_in.py').write_text(
        'from mmengine.hooks import Hook\nfrom mmskelssl.registry import HOOKS\n'
        '@HOOKS.register_module(force=True)\nclass PluggedInHook(Hook):\n    def __init__(self, strength): pass\n')
    text = "custom_imports = dict(imports=['plugged_in'])\ncustom_hooks = [dict(type='PluggedInHook', {}=1)]\n"
    complete(load_config(own_config(text.format('strength')))[-1][1])
    assert 'custom_hooks.0.strenth: PluggedInHook has no such argument; did you mean strength?' in refused(
        own_config(text.format('strenth')))


@pytest.mark.parametrize('stage', ["dict(nmae='a', config='b.py')", "dict(name='a')", '3',
                                   "dict(name='a', config='b.py', carries=[])"])
def test_stages(own_config, stage):
    assert re.search(r'stages.0 is .*; it must be dict\(name=..., config=..., carry=', refused(own_config(
        f'stages = [{stage}]\n')))
    assert len(load_config(own_config('stages = None\n'))) == 1


def test_evaluation_is_filled_in(own_config):
    cfg = complete(load_config(own_config())[-1][1])[0]
    assert cfg.evaluation.test_split == 'test'
    assert 'evaluation is not read: `data` describes' in refused(own_config('evaluation = dict(interval=1)\n'))


@pytest.mark.parametrize('text, message', [
    ('train_cfg = dict(val_interval=2)', 'train_cfg.val_interval is not read: nothing is validated by'),
    ('train_cfg = dict(_delete_=True, max_iters=10)', 'train_cfg.max_iters is not read: training is counted in epochs'),
    ('train_cfg = dict(by_epoch=False)', 'train_cfg.by_epoch: training is counted in epochs'),
    ("train_cfg = dict(type='IterBasedTrainLoop')", "train_cfg.type: 'IterBasedTrainLoop' does not count epochs")])
def test_the_loop(own_config, text, message):
    assert message in refused(own_config(text + '\n'))


def test_an_interrupted_run_goes_on_with_resume_in_the_config(own_config, tmp_path):
    """The second call has nothing left to do. Without ``resume`` it is refused."""
    text = 'train_cfg = dict(max_epochs=1)\n'
    path = Path(train(own_config(text), str(tmp_path / 'work')))
    before = path.stat().st_mtime_ns
    with pytest.raises(UserError, match='add --resume'):
        train(own_config(text), str(tmp_path / 'work'))
    train(own_config(text + 'resume = True\n'), str(tmp_path / 'work'))
    assert path.stat().st_mtime_ns == before
