"""tools/train.py end to end, in this process: stages, resume, checkpoints, one-line errors."""
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from tool_calls import fails, run

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_checkpoint
from mmskelssl.engine.hooks import ProgressHook, checkpoint_hook
from mmskelssl.registry import MODELS
from tools import evaluate as evaluate_tool
from tools import prepare_data as prepare_tool
from tools import train as train_tool

ROOT = Path(__file__).resolve().parents[2]


SMALL = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=16', 'model.backbone.hidden_channels=4',
         'model.backbone.out_channels=16']


@pytest.fixture(scope='module')
def ntu(tmp_path_factory):
    """A store in the format of NTU: 25 joints, two persons, splits xsub and xview."""
    return write_toy_store(tmp_path_factory.mktemp('ntu') / 'ntu60', num_samples=96, seed=1, subjects=4)


@pytest.mark.slow
@pytest.mark.parametrize('split, width', [('xsub', []), ('xview', SMALL[2:])])
def test_actclr_ntu60_trains_both_stages(ntu, tmp_path, monkeypatch, split, width):
    """With the published width in one case, and a narrow network in the other; the clips are short."""
    options = [f'data.store={ntu}', f'data.split={split}', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=8',
               'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
               'data.pipeline.2.frames=16', *width]
    run(monkeypatch, train_tool, 'configs/actclr_ntu60.py', '--work-dir', tmp_path / split, '--cfg-options', *options)
    first, last = (tmp_path / split / name / 'epoch_1.pth' for name in ('aimclr', 'actclr'))
    for path in (first, last):
        assert torch.serialization.get_unsafe_globals_in_checkpoint(str(path)) == []
    model, info = build_from_checkpoint(last)
    assert info['method'] == 'ActCLR' and len(model.queue) == 65536 and int(model.queue.pointer) > 0
    scalars = [json.loads(line) for line in next((tmp_path / split / 'actclr').rglob('scalars.json')).open()]
    assert {'val/knn_top1', 'loss_intra', 'batch_cosine'} <= {key for line in scalars for key in line}
    started = next((tmp_path / split / 'actclr').rglob('*.log')).read_text()
    assert f'started from {first}' in started


def test_own_arrays_in_2d(tmp_path, monkeypatch):
    """(T, V, 2) arrays labelled by their folders are imported and trained on, and are never treated as 3D."""
    rng = np.random.default_rng(0)
    for label in ('sit', 'stand'):
        (tmp_path / 'mine' / label).mkdir(parents=True)
        for i in range(20):
            np.save(tmp_path / 'mine' / label / f'{i}.npy', rng.normal(300, 50, (int(rng.integers(5, 40)), 15, 2)))
    store = str(tmp_path / 'store')
    run(monkeypatch, prepare_tool, 'arrays', tmp_path / 'mine', '--layout', 'sbu15', '--units', 'px', '--out', store)
    assert SkeletonStore(store).channels == 2 and SkeletonStore(store).classes == ['sit', 'stand']
    run(monkeypatch, train_tool, 'configs/skeletonclr_pose2d.py', '--work-dir', tmp_path / 'run', '--cfg-options',
        f'data.store={store}', *SMALL)
    model, _ = build_from_checkpoint(tmp_path / 'run' / 'epoch_1.pth')
    assert model.extract_feat(torch.randn(2, 2, 64, 15, 1)).isfinite().all()


@pytest.mark.slow
def test_the_second_stage_starts_from_the_first(ntu, tmp_path, monkeypatch):
    """With a learning rate of zero, the encoder of the second stage equals that of the first."""
    run(monkeypatch, train_tool, 'configs/actclr_toy.py', '--work-dir', tmp_path, '--cfg-options',
        f'data.store={ntu}', *SMALL, 'stages.actclr.optim_wrapper.optimizer.lr=0',
        'stages.actclr.optim_wrapper.optimizer.weight_decay=0')
    first, last = (load_checkpoint(tmp_path / name / 'epoch_1.pth')['state_dict'] for name in ('aimclr', 'actclr'))
    weights = [key for key in first if key.startswith(('backbone.', 'projector.')) and key.endswith('weight')]
    assert len(weights) > 40 and all(torch.equal(first[key], last[key]) for key in weights)


@pytest.mark.slow
def test_resume_continues_the_same_run(ntu, tmp_path, monkeypatch):
    """Two uninterrupted epochs equal one epoch, an interruption and a second epoch: weights, queue and optimiser."""
    options = ['--cfg-options', f'data.store={ntu}', *SMALL, 'train_cfg.max_epochs=2',
               'default_hooks.checkpoint.interval=1']
    run(monkeypatch, train_tool, 'configs/aimclr_toy.py', '--work-dir', tmp_path / 'a', *options)
    run(monkeypatch, train_tool, 'configs/aimclr_toy.py', '--work-dir', tmp_path / 'b', *options)
    (tmp_path / 'b' / 'epoch_2.pth').unlink()
    run(monkeypatch, train_tool, 'configs/aimclr_toy.py', '--work-dir', tmp_path / 'b', '--resume', *options)
    straight, resumed = (load_checkpoint(tmp_path / name / 'epoch_2.pth') for name in 'ab')
    for key, value in straight['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][key]), key
    for a, b in zip(straight['optimizer']['state'].values(), resumed['optimizer']['state'].values(), strict=True):
        assert torch.equal(a['exp_avg'], b['exp_avg'])
    before = (tmp_path / 'b' / 'epoch_2.pth').stat().st_mtime_ns
    run(monkeypatch, train_tool, 'configs/aimclr_toy.py', '--work-dir', tmp_path / 'b', '--resume', *options)
    assert (tmp_path / 'b' / 'epoch_2.pth').stat().st_mtime_ns == before  # finished: nothing to do


@pytest.mark.slow
@pytest.mark.parametrize('batch_size', [8, 16, 32])
def test_a_changed_run_goes_on_with_todays_schedule(ntu, tmp_path, monkeypatch, batch_size):
    """After an epoch in batches of 16, two with another batch size and rate follow the new schedule throughout."""
    options = ['--cfg-options', f'data.store={ntu}', *SMALL]
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'a', *options)
    changed = [*options, 'train_cfg.max_epochs=3', 'optim_wrapper.optimizer.lr=.02',
               f'train_dataloader.batch_size={batch_size}']
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'a', '--resume',
        '--allow-change', *changed)
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'b', *changed)
    a, b = (load_checkpoint(tmp_path / name / 'epoch_3.pth') for name in 'ab')
    clips = len(SkeletonStore(ntu).splits['train'])
    assert a['meta']['iter'] == b['meta']['iter'] == 3 * (clips // batch_size)
    here, there = (checkpoint['optimizer']['param_groups'][0] for checkpoint in (a, b))
    assert here['lr'] == pytest.approx(there['lr'], rel=1e-6) and here['initial_lr'] == there['initial_lr'] == .02


@pytest.mark.slow
def test_a_change_within_an_epoch_keeps_its_place(ntu, tmp_path, monkeypatch):
    options = ['--cfg-options', f'data.store={ntu}', *SMALL, 'train_cfg.max_epochs=2']
    length = len(SkeletonStore(ntu).splits['train']) // 16
    with monkeypatch.context() as patch:  # stopped after two batches of the second epoch
        patch.setattr(checkpoint_hook, 'stop_requested', lambda step: signal.SIGTERM if step == length + 1 else 0)
        with pytest.raises(SystemExit):
            run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path, *options)
    assert load_checkpoint(tmp_path / f'iter_{length + 2}.pth')['meta']['mmskelssl']['epoch'] == 1
    seen = []
    monkeypatch.setattr(ProgressHook, 'before_train_iter', lambda self, runner, batch_idx, data_batch=None:
                        seen.append((runner.epoch, batch_idx, runner.iter)))
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path, '--resume', '--allow-change',
        *options, 'train_dataloader.batch_size=8')
    assert seen == [(1, index, 2 * length + index) for index in range(4, 2 * length)]


@pytest.mark.slow
def test_clips_on_the_device_change_nothing(ntu, tmp_path, monkeypatch):
    options = ['--cfg-options', f'data.store={ntu}', *SMALL, 'train_dataloader.num_workers=1']
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'a', *options)
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'b', *options,
        'data.resident=device')
    a, b = (load_checkpoint(tmp_path / name / 'epoch_1.pth') for name in 'ab')
    assert all(torch.equal(value, b['state_dict'][key]) for key, value in a['state_dict'].items())
    assert 'resident' not in json.loads(b['meta']['mmskelssl']['dataset'])  # evaluation has its own device option
    assert a['meta']['mmskelssl']['config_hash'] == b['meta']['mmskelssl']['config_hash']


@pytest.mark.slow
def test_compiled_encoders_learn_the_same(ntu, tmp_path, monkeypatch):
    """Graphs are captured but not compiled, which would take minutes. Checkpoints are the same as without."""
    options = ['--cfg-options', f'data.store={ntu}', *SMALL, 'model.backbone.dropout=0']
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'a', *options)
    compiled, original = [], torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self: (compiled.append(type(self).__name__),
                                                                  original(self, backend='eager')))
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'b', '--compile', *options)
    assert compiled == ['STGCN', 'STGCN']  # the query's and the key's
    a, b = (build_from_checkpoint(tmp_path / name / 'epoch_1.pth')[0].state_dict() for name in 'ab')
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, rtol=1e-2, atol=1e-3, msg=key)


@pytest.mark.slow
def test_an_encoder_that_trains_is_one_graph():
    backbone = MODELS.build(dict(type='STGCN', layout='ntu25', hidden_channels=4, out_channels=16))
    found = torch._dynamo.explain(backbone)(torch.randn(2, 3, 8, 25, 2))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


@pytest.mark.slow
def test_amp_seed_and_stream(ntu, tmp_path, monkeypatch):
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path, '--amp', '--seed', 3,
        '--cfg-options', f'data.store={ntu}', *SMALL, 'model.data_preprocessor.stream=bone')
    model, info = build_from_checkpoint(tmp_path / 'epoch_1.pth')
    assert info['seed'] == 3 and info['stream'] == 'bone' and model.data_preprocessor.stream == 'bone'


@pytest.mark.slow
def test_evaluate_writes_results(ntu, tmp_path, monkeypatch):
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path, '--cfg-options',
        f'data.store={ntu}', *SMALL)
    run(monkeypatch, evaluate_tool, 'all', tmp_path / 'epoch_1.pth', '--untrained', '--out', tmp_path, '--recipe',
        '1nn', 'logreg', '--no-pictures')
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['data_hash'] == SkeletonStore(ntu).data_hash and results['config_hash']
    rows = {(row['encoder'], row['protocol']): row for row in results['results'] if row['split'] == 'test'}
    assert {encoder for encoder, _ in rows} == {'untrained', 'SkeletonCLR'}
    for row in rows.values():
        assert 0 <= row['ci95'][0] <= row['top1'] <= row['ci95'][1] <= 100 and row['stream'] == 'joint'


def test_one_line_errors(ntu, tmp_path, monkeypatch, capsys, tiny_kinect_store):
    def error(*options, config='configs/skeletonclr_toy.py', extra=()):
        return fails(monkeypatch, capsys, train_tool, config, '--work-dir', tmp_path / 'w', *extra,
                     '--cfg-options', f'data.store={ntu}', *SMALL, *options)
    assert 'make it with: python tools/prepare_data.py' in error(f'data.store={tmp_path}/none')
    assert 'has no split' in error('data.split=xset') and 'xview_train' in error('data.split=xset')
    assert "did you mean 'max_epochs'" in error('train_cfg.max_epoch=3')
    assert 'no_such' in error('model.no_such=3')
    assert "data.resident is 'gpu'" in error('data.resident=gpu')
    assert 'stream' in error('model.data_preprocessor.stream=colour')
    assert '20 joints' in error(f'data.store={tiny_kinect_store}', 'model.backbone.layout=ntu25')
    assert 'no such config' in fails(monkeypatch, capsys, train_tool, 'configs/none.py')
    assert 'needs the views' in error('model.type=AimCLR')
    assert 'Nope' in error('model.type=Nope')
    assert 'no such file' in error(extra=['--init-from', str(tmp_path / 'none.pth')])


def test_an_earlier_run_is_not_overwritten(ntu, tmp_path, monkeypatch, capsys):
    args = ['configs/skeletonclr_toy.py', '--work-dir', tmp_path, '--cfg-options', f'data.store={ntu}', *SMALL]
    run(monkeypatch, train_tool, *args)
    assert 'add --resume' in fails(monkeypatch, capsys, train_tool, *args)


def test_a_checkpoint_of_another_model_is_refused(ntu, tmp_path, monkeypatch, capsys):
    args = ['configs/skeletonclr_toy.py', '--cfg-options', f'data.store={ntu}', *SMALL]
    run(monkeypatch, train_tool, *args, '--work-dir', tmp_path / 'a')
    message = fails(monkeypatch, capsys, train_tool, args[0], '--init-from', tmp_path / 'a' / 'epoch_1.pth',
                    '--work-dir', tmp_path / 'b', *args[1:], 'model.backbone.hidden_channels=8')
    assert 'backbone' in message and 'epoch_1.pth' in message


def test_no_labels_are_needed(ntu, tmp_path, monkeypatch):
    from mmskelssl.datasets.store.writer import StoreWriter
    source = SkeletonStore(ntu)
    with StoreWriter(tmp_path / 'plain', 'ntu25') as writer:
        for i, name in enumerate(source.ids):
            writer.add(name, np.array(source.keypoints(i)))
        writer.set_split('train', source.splits['train'])
    run(monkeypatch, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path / 'w', '--cfg-options', *SMALL,
        f'data.store={tmp_path}/plain')
    assert (tmp_path / 'w' / 'epoch_1.pth').exists()


@pytest.mark.slow
def test_crrl_trains_its_two_stages_and_wants_the_first(ntu, tmp_path, monkeypatch, capsys):
    options = ['--cfg-options', f'data.store={ntu}', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=16',
               'model.backbone.hidden_channels=4', 'model.head.out_channels=8']
    run(monkeypatch, train_tool, 'configs/crrl_toy.py', '--work-dir', tmp_path / 'a', *options)
    first, last = (load_checkpoint(tmp_path / 'a' / name / 'epoch_1.pth')['state_dict']
                   for name in ('crrlmotion', 'crrl'))
    weights = [key for key in first if key.startswith('backbone.')]
    assert weights and all(torch.equal(first[key], last[key.replace('backbone.', 'teacher.')]) for key in weights)
    assert not torch.equal(last['backbone.gru.weight_hh_l0'], last['teacher.gru.weight_hh_l0'])
    run(monkeypatch, train_tool, 'configs/crrl_toy.py', '--work-dir', tmp_path / 'b', '--init-from',
        tmp_path / 'a' / 'crrlmotion' / 'epoch_1.pth', *options)
    assert (tmp_path / 'b' / 'crrl' / 'epoch_1.pth').is_file()
    (tmp_path / 'alone.py').write_text(f"_base_ = ['{ROOT}/configs/crrl_toy.py']\nstages = []\n")
    line = fails(monkeypatch, capsys, train_tool, tmp_path / 'alone.py', '--work-dir', tmp_path / 'c', *options)
    assert 'CRRL needs teacher. from an earlier stage' in line and '--init-from' in line


def test_padded_clips_are_for_methods_that_look_at_their_length(ntu, tmp_path, monkeypatch, capsys):
    line = fails(monkeypatch, capsys, train_tool, 'configs/skeletonclr_toy.py', '--work-dir', tmp_path, '--cfg-options',
                 f'data.store={ntu}', *SMALL, 'data.pipeline.2.type=PadFrames')
    assert 'SkeletonCLR takes clips of one length: put ResizeFrames instead of PadFrames' in line


@pytest.mark.slow
@pytest.mark.parametrize('config, options', [
    ('skeattnclr_ntu60', [*SMALL[2:], 'model.queue_size=64']),
    ('crrl_ntu60', ['model.backbone.hidden_channels=4', 'model.head.out_channels=8'])])
def test_the_published_recipes_run(ntu, tmp_path, monkeypatch, config, options):
    run(monkeypatch, train_tool, f'configs/{config}.py', '--work-dir', tmp_path, '--cfg-options', f'data.store={ntu}',
        'train_cfg.max_epochs=1', 'train_dataloader.batch_size=16', 'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False', *options)
    model, info = build_from_checkpoint(sorted(tmp_path.rglob('epoch_1.pth'))[0])
    assert info['method'].lower() == config.split('_')[0]
    assert model.extract_feat(torch.zeros(2, 3, 64, 25, 2), torch.tensor([64, 9])).isfinite().all()


@pytest.mark.parametrize('arguments, message', [
    (['--allow-change'], '--allow-change is for a run that is resumed: add --resume'),
    (['--resume', 'a.pth', '--init-from', 'b.pth'], '--resume a.pth continues a run, and --init-from b.pth')])
def test_options_that_would_be_ignored(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / 'b.pth').touch()
    monkeypatch.chdir(tmp_path)
    assert message in fails(monkeypatch, capsys, train_tool, 'skeletonclr_toy', '--work-dir', 'here', *arguments)
    assert not (tmp_path / 'here').exists()
