"""Shipped configs are found by name, listed, printed and compared, and serve as bases of configs elsewhere."""
import os
from pathlib import Path

import pytest

from mmskelssl import cli, shipped
from mmskelssl.commands.configs import flatten
from mmskelssl.engine.config import load_config
from mmskelssl.errors import UserError
from mmskelssl.shipped import config_names, find_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('name', ['actclr_toy', 'actclr_toy.py', 'configs/actclr_toy.py', 'configs/actclr_toy'])
def test_by_name_from_anywhere(name, elsewhere):
    assert os.path.samefile(find_config(name), ROOT / 'configs/actclr_toy.py')


def test_a_file_comes_first(elsewhere):
    (elsewhere / 'actclr_toy.py').write_text('')
    assert find_config('actclr_toy.py') == 'actclr_toy.py'


def test_an_installation_has_them_inside(tmp_path, monkeypatch):
    """If .mim exists, configs are read from it and not from a folder ``configs`` next to the package."""
    package = tmp_path / 'site-packages' / 'mmskelssl'
    for folder, text in ((package / '.mim' / 'configs', 'a = 1'), (package.parent / 'configs', 'a = 2')):
        (folder / '_base_').mkdir(parents=True)
        (folder / 'mine.py').write_text(text)
    monkeypatch.setattr(shipped, 'PACKAGE', package)
    assert Path(find_config('mine')).read_text() == 'a = 1' and config_names() == ['mine']


@pytest.mark.parametrize('name, message', [
    ('actclr_toi', 'did you mean actclr_toy'), ('xyz', 'mmskelssl configs lists'), ('../setup', 'no such config'),
    ('/etc/passwd.py', 'no such config')])
def test_unknown(name, message, elsewhere):
    with pytest.raises(UserError, match=message):
        find_config(name)


def test_the_list(capsys):
    cli.main(['configs'])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == config_names() and len(lines) > 50
    line, = (line for line in lines if line.startswith('actclr_ntu60 '))
    assert line.split()[1:3] == ['ActCLR', 'data/ntu60'] and 'python tools/train.py configs/actclr_ntu60.py' in line


def test_printing(capsys):
    cli.main(['configs', 'actclr_toy'])
    assert capsys.readouterr().out == (ROOT / 'configs/actclr_toy.py').read_text()
    cli.main(['configs', 'actclr_toy', '--resolved'])
    text = capsys.readouterr().out
    assert "type='ActCLR'" in text and '_base_' not in text


def test_differences(capsys):
    cli.main(['configs', '--diff', 'actclr_toy', 'actclr_toy'])
    assert capsys.readouterr().out == ''
    cli.main(['configs', '--diff', 'simclr_nwucla', 'simclr_sbu'])
    lines = capsys.readouterr().out.splitlines()
    assert "data.store: 'data/nwucla' | 'data/sbu'" in lines and all(': ' in line for line in lines)


def test_keys_are_those_of_cfg_options():
    config = dict(a=dict(b=[dict(c=1), dict(c=[1, 2])]), d={}, e=[])
    assert flatten(config) == {'a.b.0.c': 1, 'a.b.1.c': [1, 2], 'd': {}, 'e': []}


@pytest.mark.parametrize('arguments', [['--diff', 'actclr_toy', 'actclr_toy', '--resolved'], ['--resolved']])
def test_contradictions(arguments, capsys):
    with pytest.raises(SystemExit):
        cli.main(['configs', *arguments])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_base_of_a_config_that_lies_anywhere(elsewhere):
    (elsewhere / 'mine.py').write_text("_base_ = 'mmskelssl::simclr_toy.py'\ndata = dict(store='mine')\n")
    (name, cfg), = load_config('mine.py')
    assert name == 'mine' and cfg.model.type == 'SimCLR' and cfg.data.store == 'mine'
    bases = ['mmskelssl::_base_/runtime.py', 'mmskelssl::_base_/datasets/toy.py']
    (elsewhere / 'bare.py').write_text(f'_base_ = {bases}\n')
    (_, cfg), = load_config('bare.py')
    assert cfg.default_scope == 'mmskelssl' and cfg.data.store == 'data/toy'
