"""Third-party configs based on the configs that ship with mmskelssl."""
import pytest
from mmengine.config import Config

from mmskelssl import shipped
from mmskelssl.engine.config import load_config
from mmskelssl.errors import UserError


def write(folder, text: str) -> str:
    (folder / 'mine.py').write_text(text)
    return str(folder / 'mine.py')


def test_a_base_from_elsewhere(tmp_path):
    mine = write(tmp_path, "_base_ = ['mmskelssl::_base_/runtime.py', 'mmskelssl::_base_/datasets/toy.py']\n")
    assert load_config(mine)[0][1].default_scope == 'mmskelssl'
    mine = write(tmp_path, "_base_ = 'mmskelssl::simclr_toy.py'\nlog_level = 'ERROR'\n")
    [(name, cfg)] = load_config(mine)
    assert name == 'mine' and cfg.log_level == 'ERROR'
    assert cfg.model == load_config(str(shipped.shipped_configs() / 'simclr_toy.py'))[0][1].model
    with pytest.raises((AssertionError, ModuleNotFoundError, ValueError)):  # mmengine is restored
        Config.fromfile(mine)


def test_a_base_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match='simclr_toyy.py'):
        load_config(write(tmp_path, "_base_ = 'mmskelssl::simclr_toyy.py'\n"))


def test_stages_from_elsewhere(tmp_path):
    mine = write(tmp_path, "_base_ = 'mmskelssl::actclr_toy.py'\n")
    with pytest.raises(UserError, match='stages: no such config: .*aimclr_toy.py; .* as mmskelssl::aimclr_toy.py'):
        load_config(mine)  # only searched for next to the config
    mine = write(tmp_path, "_base_ = 'mmskelssl::actclr_toy.py'\n"
                           "stages = [dict(name='aimclr', config='mmskelssl::aimclr_toy.py', carry=['backbone.'])]\n")
    assert [name for name, _ in load_config(mine)] == ['aimclr', 'mine']


def test_where_the_configs_are(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'site-packages' / 'mmskelssl')
    with pytest.raises(UserError, match='install mmskelssl again'):
        shipped.shipped_configs()
    for place in ('configs', 'mmskelssl/.mim/configs'):
        folder = tmp_path / 'site-packages' / place
        (folder / '_base_').mkdir(parents=True)
        assert shipped.shipped_configs() == folder  # installed configs take precedence
