"""The small hooks of the project, each with a runner that has only the attributes that the hook reads."""
import copy
import json
import logging
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.hooks import (
    AugmentCurriculumHook,
    FillQueueHook,
    InitFromHook,
    PlainCheckpointHook,
    ProgressBarHook,
    ProgressHook,
    RunInfoHook,
)
from mmskelssl.engine.run_spec import RunSpec
from mmskelssl.errors import UserError
from mmskelssl.provenance import short_command
from mmskelssl.registry import MODELS
from tools import train as train_tool

WEAK = [dict(type='TemporalCrop'), dict(type='Shear')]
NORMAL = [*WEAK, *(dict(type=name) for name in ('SpatialFlip', 'Rotate', 'GaussianNoise', 'GaussianBlur', 'AxisMask'))]
STRONG = [*NORMAL, dict(type='Interpolate'), dict(type='Rescale')]
PHASES = [dict(begin=0, keep=dict(normal=5, strong=7)), dict(begin=100, keep=dict(normal=3, strong=5)),
          dict(begin=200, keep=dict(normal=1, strong=3)), dict(begin=300, keep=dict(normal=0, strong=0), core=False)]


def build(seed=0, width=4, **kwargs):
    torch.manual_seed(seed)
    return MODELS.build({**dict(
        type='ActCLR', backbone=dict(type='STGCN', layout='ntu25', hidden_channels=width, out_channels=8, dropout=0.),
        projector=dict(hidden_channels=64, out_channels=6), queue_size=12,
        data_preprocessor=dict(type='SkeletonPreprocessor', layout='ntu25', seed=seed, views=dict(
            weak=WEAK, key=WEAK, normal=NORMAL, strong=STRONG))), **kwargs})


def runner(model, **kwargs):
    return SimpleNamespace(**{**dict(model=model, epoch=0, iter=0, max_iters=100, rank=0,
                                     logger=logging.getLogger('test')), **kwargs})


def active(epoch, seed=0, hook=None):
    """Return the types that remain in each view at the start of an epoch."""
    model = build(seed)
    (hook or AugmentCurriculumHook(PHASES)).before_train_epoch(runner(model, epoch=epoch))
    made = model.data_preprocessor
    return {name: [type(made.views[name][i]).__name__ for i in made.active[name]] for name in made.views}


@pytest.mark.parametrize('epoch, normal, strong', [(0, 5, 7), (99, 5, 7), (100, 3, 5), (199, 3, 5), (200, 1, 3),
                                                   (299, 1, 3)])
def test_curriculum_counts_and_order(epoch, normal, strong):
    views = active(epoch)
    core, extra = ['TemporalCrop', 'Shear'], [op['type'] for op in STRONG[2:]]
    assert views['weak'] == views['key'] == core
    for name, count in dict(normal=normal, strong=strong).items():
        assert views[name][:2] == core and len(set(views[name])) == 2 + count
        assert views[name][2:] == [op for op in extra if op in views[name]]  # the order of the list does not change


def test_curriculum_ends_with_raw_clips():
    assert all(not ops for ops in active(300).values())
    model, x = build(), torch.randn(3, 3, 8, 25, 2)
    AugmentCurriculumHook(PHASES).before_train_epoch(runner(model, epoch=320))
    views = model.data_preprocessor(dict(inputs=x, data_samples={}), True)['inputs']
    assert set(views) == {'weak', 'key', 'normal', 'strong'} and all(torch.equal(view, x) for view in views.values())


def test_curriculum_depends_on_seed_and_epoch_alone():
    first = active(110)
    torch.manual_seed(7)
    assert active(110) == first
    draws = [active(epoch)['strong'] for epoch in range(100, 120)]
    assert len({tuple(draw) for draw in draws}) > 5
    assert [active(epoch, seed=1)['strong'] for epoch in range(100, 120)] != draws
    # A subset is drawn, not a prefix: each operator is omitted sometimes.
    assert all(0 < sum(op['type'] in draw for draw in draws) < 20 for op in STRONG[2:])


def test_curriculum_follows_the_epoch_back_and_before_its_first_phase():
    hook, late = AugmentCurriculumHook(PHASES[::-1]), AugmentCurriculumHook([dict(begin=5, keep=dict(strong=0))])
    model = build()
    for epoch, count in ((300, 0), (0, 9), (250, 5)):
        hook.before_train_epoch(runner(model, epoch=epoch))
        assert len(model.data_preprocessor.active['strong']) == count
    assert len(active(4, hook=late)['strong']) == 9 and active(5, hook=late)['strong'] == ['TemporalCrop', 'Shear']
    assert len(active(5, hook=late)['normal']) == 7  # other views keep everything


def test_curriculum_refuses_an_unknown_view_of_any_phase_at_once():
    hook = AugmentCurriculumHook([dict(begin=0, keep=dict(normal=1)), dict(begin=300, keep=dict(extreme=0))])
    with pytest.raises(UserError, match='no view named extreme; the model has weak, key, normal, strong'):
        hook.before_train_epoch(runner(build()))


def batches(*sizes):
    generator = torch.Generator().manual_seed(3)
    return [dict(inputs=torch.randn(n, 3, 8, 25, 2, generator=generator), data_samples={}) for n in sizes]


@pytest.mark.parametrize('sizes', [(5, 5, 5), (4, 4), (30,)])
def test_the_queue_is_filled_with_keys(sizes):
    """The queue contains the last 12 keys of the loader's batches, from a key encoder equal to the query encoder."""
    model, loader = build(), batches(*sizes)
    with torch.no_grad():
        for p in model.backbone.parameters():
            p.add_(torch.randn_like(p) * .02)  # as if a checkpoint had been loaded after the copy was made
    before, twin = model.queue.keys.clone(), copy.deepcopy(model)
    expected, place, filled = [None] * 12, 0, 0
    while filled < 12:
        for batch in loader:
            view = twin.data_preprocessor(copy.deepcopy(batch), True)['inputs']['key']
            with torch.no_grad():
                keys = twin.embed(twin.backbone(view))
            for key in keys[-12:]:
                expected[place], place = key, (place + 1) % 12
            filled += len(keys)
            if filled >= 12:
                break
    FillQueueHook().before_train(runner(model, train_dataloader=loader))
    torch.testing.assert_close(model.queue.keys, torch.stack(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.queue.keys.norm(dim=1), torch.ones(12))
    assert int(model.queue.pointer) == place
    assert not (model.queue.keys[:, None] == before).all(2).any()  # no random direction remains


def test_nothing_is_filled_on_resume_or_without_a_queue():
    model = build()
    before = model.queue.keys.clone()
    FillQueueHook().before_train(runner(model, iter=4, train_dataloader=batches(5)))
    assert torch.equal(model.queue.keys, before) and int(model.queue.pointer) == 0
    without = build(type='SkeletonCLR', queue_size=0, in_batch=True, data_preprocessor=dict(
        type='SkeletonPreprocessor', layout='ntu25', views=dict(query=[], key=[])))
    FillQueueHook().before_train(runner(without, train_dataloader=None))


def test_filling_does_not_change_the_first_step():
    """Its draws do not belong to an iteration, so step 0 sees the same views as without it."""
    views = []
    for fill in (False, True):
        model, loader = build(), batches(5)
        if fill:
            FillQueueHook().before_train(runner(model, train_dataloader=loader))
        ProgressHook().before_train_iter(runner(model), 0)
        views.append(model.data_preprocessor(loader[0], True)['inputs'])
    assert all(torch.equal(views[0][name], views[1][name]) for name in views[0])


@pytest.mark.parametrize('wrap', [lambda model: model, torch.nn.DataParallel])
def test_progress_reaches_model_and_preprocessor(wrap):
    model, data = build(), batches(2)[0]
    run = runner(wrap(model), epoch=3, iter=42, max_iters=168)
    ProgressHook().before_train_iter(run, 0)
    assert (model.progress.epoch, model.progress.iteration, model.progress.fraction) == (3, 42, .25)
    first = model.data_preprocessor(data, True)['inputs']['key']
    run.iter = 43
    ProgressHook().before_train_iter(run, 0)
    assert not torch.equal(model.data_preprocessor(data, True)['inputs']['key'], first)
    run.iter = 42
    ProgressHook().before_train_iter(run, 0)
    assert torch.equal(model.data_preprocessor(data, True)['inputs']['key'], first)


def test_init_from_carries_what_it_names(tmp_path):
    source, target = build(1), build(2)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    projector = target.projector.mlp[0].weight.clone()
    InitFromHook(str(tmp_path / 'a.pth'), carry=['backbone.']).before_train(runner(target))
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(value, target.backbone.state_dict()[key]), key
    assert torch.equal(target.projector.mlp[0].weight, projector)
    InitFromHook(str(tmp_path / 'a.pth')).before_train(runner(target))
    assert torch.equal(target.projector.mlp[0].weight, source.projector.mlp[0].weight)
    resumed = build(2)
    InitFromHook(str(tmp_path / 'a.pth')).before_train(runner(resumed, iter=1))
    assert torch.equal(resumed.projector.mlp[0].weight, projector)


def test_init_from_carries_a_part_over_to_another(tmp_path):
    """The encoder of the first stage becomes the teacher of the second, and nothing else is loaded."""
    torch.manual_seed(1)
    layout = dict(backbone=dict(type='BiGRU', layout='sbu15', hidden_channels=4))
    source = MODELS.build(dict(type='CRRLReconstruct', **layout))
    target = MODELS.build(dict(type='CRRL', head=dict(hidden_channels=4), **layout))
    student = target.backbone.gru.weight_hh_l0.clone()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    InitFromHook(str(tmp_path / 'a.pth'), carry={'backbone.': 'teacher.'}).before_train(runner(target))
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(value, target.teacher.state_dict()[key]), key
    assert torch.equal(target.backbone.gru.weight_hh_l0, student)


@pytest.mark.parametrize('spoil, message', [
    (lambda state: state.pop('backbone.blocks.3.tcn.2.weight'), 'backbone.blocks.3.tcn.2.weight is missing'),
    (lambda state: state.pop('projector.mlp.3.bias'), 'projector.mlp.3.bias is missing'),
    (lambda state: state.update({'backbone.A': torch.ones(2, 25, 25)}), r'backbone.A is \(2, 25, 25\) instead of'),
    (lambda state: state.update({'backbone.more': torch.ones(1)}), 'backbone.more is not in the model'),
    (lambda state: state['backbone.blocks.3.tcn.2.weight'].fill_(float('nan')), 'NaN')])
def test_init_from_refuses_what_does_not_fit_entirely(tmp_path, spoil, message):
    state = build(1).state_dict()
    spoil(state)
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(UserError, match=f'a.pth.*{message}'):
        InitFromHook(str(tmp_path / 'a.pth')).before_train(runner(build()))


def paced(seconds, resets=(), **kwargs):
    """Return what the hook logs for steps of these durations. An epoch begins before each step in ``resets``."""
    hook, state, lines, now = ProgressBarHook(), runner(build(), max_iters=len(seconds), **kwargs), [], [0.]
    state.logger = SimpleNamespace(info=lines.append, warning=lines.append)
    with mock.patch('time.perf_counter', lambda: now[0]):
        hook.before_train(state)
        for state.iter, each in enumerate(seconds):
            if state.iter in (0, *resets):
                now[0] += 1000  # a measurement
                hook.before_train_epoch(state)
            now[0] += each
            hook.after_train_iter(state, state.iter)
        hook.after_train(state)
    return lines


def test_the_time_that_a_run_will_take_is_logged():
    line, = paced([30.] + [.5] * 210, resets=[50, 100, 150])
    assert line == 'ETA 0:01:40: 200 steps of 0.5 s, excluding the time between epochs'
    assert paced([.5] * 10) == [] and paced([.5] * 30, rank=1) == []


def test_a_run_that_becomes_slow_says_so_once():
    lines = paced([.5] * 20 + [4.] * 60 + [.5] * 40 + [4.] * 20)
    assert len(lines) == 3 and lines[1].startswith('steps take 4 s, 8 times what the first ones took; ETA ')
    assert 'OMP_NUM_THREADS=1' in lines[2]


def test_pauses_and_a_little_slower_are_no_alarm():
    assert len(paced([.5] * 20 + [.5, .5, .5, 60.] * 20)) == 1
    assert len(paced([.5] * 20 + [1.5] * 60)) == 1


def test_progress_bar_is_silent_where_there_is_no_terminal(capsys, monkeypatch):
    def run(**kwargs):
        hook, state = ProgressBarHook(), runner(build(), **kwargs)
        hook.before_train(state)
        for state.iter in range(20):
            hook.after_train_iter(state, state.iter, outputs=dict(loss=torch.tensor(1.5)))
        hook.after_train(state)
        return hook, capsys.readouterr()
    hook, (out, err) = run()
    assert (out, err) == ('', '') and hook.bar.disable
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True)
    assert 'loss 1.500' in run()[1].out
    assert run(rank=1)[1].out == ''


def test_run_info_is_plain(tmp_path):
    """Only strings and numbers, so that a plain checkpoint keeps everything and any reader can open it."""
    spec = RunSpec(model=dict(type='ActCLR', data_preprocessor=dict(stream='bone')),
                   data=dict(data_hash='abc', layout='ntu25'), schedule={},
                   hooks=dict(default_hooks={}, custom_hooks=[]), seed=3, world=dict(world_size=1))
    warnings = []
    state = runner(build(), train_dataloader=range(11), logger=SimpleNamespace(warning=warnings.append))
    checkpoint = dict(meta=dict(epoch=5, iter=55), state_dict={})
    for hook in (RunInfoHook(spec, launcher='slurm'), PlainCheckpointHook()):
        hook.before_save_checkpoint(state, checkpoint)
    torch.save(checkpoint, tmp_path / 'a.pth')
    info = load_checkpoint(tmp_path / 'a.pth')['meta']['mmskelssl']
    assert info == dict(spec.meta(), epoch=5, iteration=55, epoch_length=11, command=short_command(), launcher='slurm',
                        threads=torch.get_num_threads())
    # Readers of checkpoints rely on these.
    assert set(info) == {'model', 'method', 'seed', 'stream', 'dataset', 'data_hash', 'config_hash', 'decisive',
                         'spec_version', 'world_size', 'epoch', 'iteration', 'epoch_length', 'command', 'launcher',
                         'threads'}
    assert json.loads(info['model']) == spec.model and (info['method'], info['stream']) == ('ActCLR', 'bone')
    assert not warnings and torch.serialization.get_unsafe_globals_in_checkpoint(str(tmp_path / 'a.pth')) == []
    assert json.loads(json.dumps(checkpoint['meta'])) == checkpoint['meta']


@pytest.mark.parametrize('config', ['skeletonclr_ntu60', 'actclr_toy'])
def test_too_few_clips_for_a_batch_end_in_one_line(tiny_store, tmp_path, monkeypatch, capsys, config):
    """An epoch without iterations trains nothing and could never fill a queue."""
    monkeypatch.setattr(sys, 'argv', [
        'train', f'configs/{config}.py', '--work-dir', str(tmp_path), '--cfg-options', f'data.store={tiny_store}',
        'data.split=standard', 'train_dataloader.batch_size=33', 'model.backbone.hidden_channels=4'])
    with pytest.raises(SystemExit):
        train_tool.main()
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f'error: {tiny_store}: 32 training clips do not make one batch of 33')
