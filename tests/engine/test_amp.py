"""``--amp auto``: a measurement decides, the log says so, a resumed run keeps its precision, draws stay the same."""
import json

import pytest
import torch

from mmskelssl.cli import make_parser
from mmskelssl.engine import amp
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError


def measured(monkeypatch, full: float, half: float) -> None:
    monkeypatch.setattr(amp, 'measure_steps', lambda cfg, seconds: (full, half))


def precision(path) -> str:
    return json.loads(load_checkpoint(str(path))['meta']['mmskelssl']['decisive'])['optim_wrapper.type']


def log(folder) -> str:
    return next(folder.rglob('*.log')).read_text()


@pytest.mark.slow
def test_the_faster_one_trains_and_a_resumed_run_keeps_it(own_config, tmp_path, monkeypatch):
    measured(monkeypatch, .2, .1)
    config, work = own_config(), tmp_path / 'work'
    path = train(config, str(work), amp='auto', cfg_options={'train_cfg.max_epochs': 1})
    assert precision(path) == 'BF16OptimWrapper'
    assert '--amp auto: bfloat16, a step takes 200 ms in float32 and 100 ms in bfloat16' in log(work)
    monkeypatch.setattr(amp, 'measure_steps', lambda *_: pytest.fail('measured again'))
    assert train(config, str(work), resume='auto', amp='auto', cfg_options={'train_cfg.max_epochs': 1}) == path


@pytest.mark.parametrize('half', [.097, .2])
def test_no_gain_no_change(own_config, monkeypatch, half):
    measured(monkeypatch, .1, half)
    cfg, spec = complete(load_config(own_config())[-1][1])
    cfg.load_from = None
    made, (note,) = amp.choose_precision(cfg, spec)
    assert made == spec and cfg.optim_wrapper.type == 'OptimWrapper' and note.startswith('--amp auto: float32, a step')


@pytest.mark.slow
def test_the_measurement_leaves_no_trace(own_config, tmp_path, monkeypatch):
    """A run in float32 after a real measurement is the run without it, bit for bit."""
    monkeypatch.setattr(amp, 'SECONDS', .05)
    monkeypatch.setattr(amp, 'LEAST_GAIN', 0.)
    options = {'train_cfg.max_epochs': 1}
    plain = load_checkpoint(train(own_config(), str(tmp_path / 'plain'), cfg_options=options))
    auto = load_checkpoint(train(own_config(), str(tmp_path / 'auto'), amp='auto', cfg_options=options))
    assert plain['meta']['mmskelssl']['config_hash'] == auto['meta']['mmskelssl']['config_hash']
    assert all(torch.equal(value, auto['state_dict'][key]) for key, value in plain['state_dict'].items())
    assert 'ms in bfloat16' in log(tmp_path / 'auto')


def test_a_processor_without_bfloat16_is_named(own_config, monkeypatch):
    """Without the warning, a run that takes 20 times as long looks like a slow machine."""
    cfg, _ = complete(load_config(own_config())[-1][1])
    monkeypatch.setattr(amp, '_product_seconds', lambda dtype: {torch.float32: .1, torch.bfloat16: 4.}[dtype])
    assert amp.warn_of_slow_bfloat16(cfg) == []  # trains in float32
    amp.train_in_bfloat16(cfg)
    (line,) = amp.warn_of_slow_bfloat16(cfg)
    assert 'takes 40 times as long as in float32. Train without --amp' in line
    monkeypatch.setattr(amp, '_product_seconds', lambda dtype: .1)
    assert amp.warn_of_slow_bfloat16(cfg) == []
    monkeypatch.undo()
    assert amp._product_seconds(torch.float32) > 0


@pytest.mark.slow
def test_the_log_names_it(own_config, tmp_path, monkeypatch):
    monkeypatch.setattr(amp, '_product_seconds', lambda dtype: {torch.float32: .1, torch.bfloat16: 4.}[dtype])
    train(own_config(), str(tmp_path), amp=True, cfg_options={'train_cfg.max_epochs': 1})
    assert 'bfloat16 is slow on this processor' in log(tmp_path)


def test_what_is_refused(own_config, capsys):
    cfg, spec = complete(load_config(own_config())[-1][1])
    cfg.launcher = 'pytorch'
    with pytest.raises(UserError, match='--amp auto measures a single process'):
        amp.choose_precision(cfg, spec)
    cfg.launcher, cfg.optim_wrapper.type, cfg.load_from = 'none', 'AmpOptimWrapper', None
    with pytest.raises(UserError, match='--amp would replace optim_wrapper.type'):
        amp.choose_precision(cfg, spec)
    with pytest.raises(UserError, match="amp is 'fast'; it must be True, False or 'auto'"):
        train(own_config(), amp='fast')
    parse = make_parser('train').parse_args
    assert [parse(['a.py', *more]).amp for more in ([], ['--amp'], ['--amp', 'auto'])] == [False, True, 'auto']
    with pytest.raises(SystemExit):
        parse(['--amp', 'a.py'])
    assert 'the config goes before --amp' in capsys.readouterr().err
