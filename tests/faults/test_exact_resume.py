"""A run that was killed or stopped resumes exactly."""
import shutil
import signal

import pytest
import torch
from runs import Run, assert_same, kill_at, signal_at

from mmskelssl.engine.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow
LAST = dict(skeletonclr='', aimclr='', skeattnclr='', actclr='actclr/', crrl='crrl/')
FIRST = dict(actclr='aimclr', crrl='crrlmotion')
EPOCHS = {'train_cfg.max_epochs': 2}


@pytest.fixture(scope='module')
def undisturbed(tiny_store, tmp_path_factory):
    """Return the work_dir of a method's uninterrupted run. Each method is trained once."""
    done = {}

    def train(method, *arguments, **options):
        key = (method, *arguments, *options.items())
        if key not in done:
            done[key] = tmp_path_factory.mktemp('straight') / method
            run = Run(tiny_store, done[key], *arguments, method=method, options={**EPOCHS, **options})
            assert run.end() == 0, run.output[-3000:]
        return done[key]
    return train


def kill_and_resume(store, work_dir, method, iteration, stage, *arguments, **options):
    options = {**EPOCHS, **options}
    killed = Run(store, work_dir, *arguments, method=method, options=options, inject=kill_at,
                 inject_args=(iteration, stage))
    assert killed.end() == -signal.SIGKILL, killed.output[-3000:]
    resumed = Run(store, work_dir, *arguments, '--resume', method=method, options=options)
    assert resumed.end() == 0, resumed.output[-3000:]


@pytest.mark.fault('F6', 'SIGKILL in the middle of an epoch, then --resume: all methods, first and last stage, 0 and 2 '
                         'workers, bfloat16')
@pytest.mark.parametrize('method', LAST)
@pytest.mark.parametrize('workers', [0, 2])
def test_killed(tiny_store, tmp_path, undisturbed, lost, method, workers):
    """Iteration 6 is the second of the second epoch. With workers, the first stage of a staged recipe is killed."""
    stage = FIRST.get(method, '') if workers else LAST[method].strip('/')
    kill_and_resume(tiny_store, tmp_path / 'w', method, 6, stage, **{'train_dataloader.num_workers': workers})
    assert_same(undisturbed(method) / f'{LAST[method]}epoch_2.pth', tmp_path / 'w' / f'{LAST[method]}epoch_2.pth')
    lost('the one iteration since the last checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F6', 'SIGKILL in the middle of an epoch, then --resume: all methods, first and last stage, 0 and 2 '
                         'workers, bfloat16')
@pytest.mark.parametrize('method', LAST)
def test_killed_in_bfloat16(tiny_store, tmp_path, undisturbed, method):
    kill_and_resume(tiny_store, tmp_path / 'w', method, 7, LAST[method].strip('/'), '--amp')
    last = f'{LAST[method]}epoch_2.pth'
    assert_same(undisturbed(method, '--amp') / last, tmp_path / 'w' / last)


@pytest.mark.fault('F7', 'SIGKILL with a queue that has wrapped and a partial last batch, then --resume')
def test_killed_after_the_queue_wrapped(tiny_store, tmp_path, undisturbed, lost):
    options = {'train_dataloader.drop_last': False, 'train_dataloader.batch_size': 7}  # 7 7 7 7 4: 32 keys, 20 places
    kill_and_resume(tiny_store, tmp_path / 'w', 'skeletonclr', 8, '', **options)
    ends = [folder / 'epoch_2.pth' for folder in (undisturbed('skeletonclr', **options), tmp_path / 'w')]
    assert_same(*ends)
    assert int(load_checkpoint(ends[1])['state_dict']['queue.pointer']) == 64 % 20
    lost('the iterations since the last checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F5', 'SIGTERM, SIGINT, SIGUSR1 within an epoch, also to one of two ranks; then --resume')
@pytest.mark.parametrize('which, iteration', [(signal.SIGTERM, 6), (signal.SIGINT, 4), (signal.SIGUSR1, 1)])
def test_stopped(tiny_store, tmp_path, undisturbed, lost, which, iteration):
    """Iteration 4 is the last of its epoch, whose regular checkpoint is still to be written."""
    stopped = Run(tiny_store, tmp_path / 'w', inject=signal_at, inject_args=(iteration, which), options=EPOCHS)
    assert stopped.end() == (130 if which == signal.SIGINT else 0), stopped.output[-3000:]
    assert f'stopped by {which.name} and saved as' in stopped.output and '--resume' in stopped.output
    path = tmp_path / 'w' / f'iter_{iteration}.pth'
    assert load_checkpoint(path)['meta']['iter'] == iteration
    assert torch.serialization.get_unsafe_globals_in_checkpoint(str(path)) == []
    resumed = Run(tiny_store, tmp_path / 'w', '--resume', options={**EPOCHS, 'train_dataloader.num_workers': 2})
    assert resumed.end() == 0, resumed.output[-3000:]
    assert_same(undisturbed('skeletonclr') / 'epoch_2.pth', tmp_path / 'w' / 'epoch_2.pth')
    lost('nothing')


@pytest.mark.fault('F8', '--resume with a different batch size, learning rate, stream, seed or precision')
def test_another_config_is_refused(tiny_store, tmp_path, lost, record_property):
    run = Run(tiny_store, tmp_path / 'w', options={'train_cfg.max_epochs': 1})
    assert run.end() == 0, run.output[-3000:]
    before = (tmp_path / 'w' / 'epoch_1.pth').read_bytes()
    for arguments, options, message in [
            ([], {'train_dataloader.batch_size': 4}, 'train_dataloader.batch_size was 8 and is 4'),
            ([], {'optim_wrapper.optimizer.lr': 0.5}, 'optim_wrapper.optimizer.lr was 0.001 and is 0.5'),
            ([], {'model.data_preprocessor.stream': 'bone'}, 'model.data_preprocessor.stream was joint and is bone'),
            (['--seed', '3'], {}, 'randomness.seed was 0 and is 3'),
            (['--amp'], {}, 'optim_wrapper.type was OptimWrapper and is BF16OptimWrapper')]:
        changed = Run(tiny_store, tmp_path / 'w', '--resume', *arguments, options={**EPOCHS, **options})
        assert changed.end() == 2 and message in changed.error and '--allow-change' in changed.error, changed.error
    assert (tmp_path / 'w' / 'epoch_1.pth').read_bytes() == before
    allowed = Run(tiny_store, tmp_path / 'w', '--resume', '--allow-change', options=EPOCHS)
    assert allowed.end() == 0 and 'resuming although train_cfg.max_epochs was 1 and is 2' in allowed.output
    record_property('tried', 5)
    lost('nothing')


def test_a_finished_stage_made_otherwise_is_refused(tiny_store, tmp_path, undisturbed):
    shutil.copytree(undisturbed('crrl'), tmp_path / 'w')
    options = {**EPOCHS, 'stages.crrlmotion.optim_wrapper.optimizer.lr': .5}
    run = Run(tiny_store, tmp_path / 'w', '--resume', method='crrl', options=options)
    assert run.end() == 2
    assert 'crrlmotion/epoch_2.pth was written by a different run: optim_wrapper.optimizer.lr' in run.error
