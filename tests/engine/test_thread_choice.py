"""``--threads``: a measurement decides, the user's own setting wins, a run that continues keeps its number."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mmskelssl.cli import make_parser
from mmskelssl.engine import thread_choice
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.hooks import RunInfoHook, training
from mmskelssl.engine.thread_choice import candidates, choose_threads, using_threads
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError


@pytest.fixture
def four_cores(monkeypatch):
    """A machine with four threads, of which none is used, and the function that sets the times of a step."""
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(thread_choice.torch, 'get_num_threads', lambda: 4)
    monkeypatch.setattr(thread_choice.os, 'cpu_count', lambda: 4)

    def takes(*times):
        monkeypatch.setattr(thread_choice, 'step_times', lambda cfg, seconds, ways: list(times))
    takes()  # not enough times, if it measures
    return takes


def log(folder) -> str:
    return '\n'.join(path.read_text() for path in sorted(folder.rglob('*.log')))


def test_candidates():
    assert [candidates(most) for most in (1, 2, 6, 16)] == [[1], [2, 1], [6, 3, 1], [16, 8, 4, 2, 1]]


@pytest.mark.parametrize('times, chosen', [((.1, .2, .4), 4), ((.1, .104, .2), 2), ((.5, .3, .1), 1),
                                           ((.1, .2, .104), 1)])
def test_the_fewest_of_the_fast_ones(four_cores, times, chosen):
    four_cores(*times)
    number, (note,) = choose_threads({}, 'auto')
    assert number == chosen
    assert note.startswith(f'--threads auto: {chosen}; a step takes {1000 * times[0]:g} ms with 4,')


def test_nothing_to_measure(four_cores, monkeypatch):
    assert choose_threads({}, None) == (4, [])
    assert choose_threads({}, 3) == (3, ['--threads: 3'])
    monkeypatch.setenv('OMP_NUM_THREADS', '4')
    assert choose_threads({}, 'auto') == (4, ['--threads auto: 4, because OMP_NUM_THREADS is 4'])
    monkeypatch.delenv('OMP_NUM_THREADS')
    monkeypatch.setattr(thread_choice, 'get_device', lambda: 'cuda')
    assert choose_threads({}, 'auto') == (4, ['--threads auto: 4, because a GPU trains'])


@pytest.mark.parametrize('given', [0, 5, True, 'many', 2.])
def test_what_is_refused(four_cores, given):
    with pytest.raises(UserError, match=f"--threads {given}: it must be 'auto', or from 1 to 4, the cores"):
        choose_threads({}, given)
    with pytest.raises(UserError, match='--threads auto measures a single process'):
        choose_threads(dict(launcher='pytorch'), 'auto')


def test_arguments():
    parse = make_parser('train').parse_args
    assert [parse(['a.py', *more]).threads for more in ([], ['--threads', '2'], ['--threads', 'auto'])] == [
        None, 2, 'auto']


def test_the_number_holds_inside_only():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), using_threads(2):
        assert torch.get_num_threads() == 2
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_the_measurement_leaves_no_trace_and_a_resumed_run_keeps_its_number(own_config, tmp_path, monkeypatch):
    """A run after a real measurement is the run without it, bit for bit."""
    config, one = own_config(), {'train_cfg.max_epochs': 1}
    plain = load_checkpoint(train(config, str(tmp_path / 'plain'), cfg_options=one, threads=1))
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr(thread_choice, 'SECONDS', .01)
    monkeypatch.setattr(thread_choice, 'NEAR', float('inf'))
    with using_threads(2):
        path = train(config, str(tmp_path / 'auto'), cfg_options=one, threads='auto')
        assert torch.get_num_threads() == 2
        assert choose_threads(Config(dict(load_from=path)), 'auto') == (1, ['--threads auto: 1, as in the checkpoint'])
    auto = load_checkpoint(path)
    assert plain['meta']['mmskelssl'] == auto['meta']['mmskelssl'] and auto['meta']['mmskelssl']['threads'] == 1
    assert all(torch.equal(value, auto['state_dict'][key]) for key, value in plain['state_dict'].items())
    assert '--threads auto: 1; a step takes ' in log(tmp_path / 'auto') and 'bit for bit' not in log(tmp_path / 'auto')


def test_another_number_is_said(monkeypatch):
    said = []
    runner = SimpleNamespace(logger=SimpleNamespace(warning=said.append), _load_from='a.pth', model=None,
                             optim_wrapper=None, param_schedulers=None)
    for name in ('check_resumable', 'refuse_changes'):
        monkeypatch.setattr(training, name, lambda *_: [])
    monkeypatch.setattr('mmskelssl.engine.checkpoint.load_whole', lambda *_: None)
    for threads in (None, torch.get_num_threads(), 64):
        RunInfoHook(None).after_load_checkpoint(runner, dict(meta=dict(mmskelssl=dict(threads=threads))))
    line, = said
    assert f'was 64 and is {torch.get_num_threads()}: sums round differently' in line and '--threads 64' in line
