"""The console of a run is readable, and its log file contains everything."""
import glob
import logging
import sys

import pytest

from mmskelssl.cli import main
from mmskelssl.engine.quiet_runner import _fits_console
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError


def test_the_first_loss_comes_after_a_few_lines(tiny_store, tmp_path, capfd):
    train('configs/simclr_toy.py', str(tmp_path), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
        'model.backbone.channels': (4, 4), 'default_hooks.logger.interval': 1})
    captured = capfd.readouterr()
    lines = (captured.out + captured.err).splitlines()
    first = next(i for i, line in enumerate(lines) if 'loss: ' in line)
    assert first < 12 and not any('will be deprecated' in line for line in lines)
    log, = glob.glob(str(tmp_path / '*' / '*.log'))
    assert any(log in line for line in lines[:first])
    with open(log, encoding='utf-8') as file:
        text = file.read()
    assert 'System environment' in text and 'default_scope' in text and 'before_train' in text


def test_warnings_are_shown_in_full():
    def record(level, text, *args):
        return logging.LogRecord('mmengine', level, __file__, 1, text, args, None)
    assert _fits_console(record(logging.WARNING, 'over\ntwo lines')) and _fits_console(record(logging.INFO, 'one\n'))
    assert not _fits_console(record(logging.INFO, 'Config:\n%s', 'a = 1'))


def test_a_log_writer_that_is_not_installed_is_one_line(tiny_store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    with pytest.raises(UserError, match='pip install wandb') as error:
        train('configs/simclr_toy.py', str(tmp_path), cfg_options={
            'data.store': tiny_store, 'train_dataloader.batch_size': 8, 'model.backbone.channels': (4, 4),
            'visualizer.vis_backends.1.type': 'WandbVisBackend'})
    assert '\n' not in str(error.value)


def test_curves_lie_in_the_work_dir_by_default(tmp_path, monkeypatch, capsys):
    scalars = tmp_path / 'run' / 'now' / 'vis_data' / 'scalars.json'
    scalars.parent.mkdir(parents=True)
    scalars.write_text('{"loss": 2.0, "step": 1}\n{"loss": 1.0, "step": 2}\n')
    main(['curves', str(tmp_path / 'run')])
    assert (tmp_path / 'run' / 'curves.png').stat().st_size > 5000
    assert str(tmp_path / 'run' / 'curves.png') in capsys.readouterr().out
