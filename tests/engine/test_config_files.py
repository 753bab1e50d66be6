"""A config that cannot be read, or not be written to the work_dir, is refused in one line with its place."""
import pytest

from mmskelssl.engine.config import complete, load_config
from mmskelssl.errors import UserError


@pytest.mark.parametrize('text, message', [
    ('x = 1 / 0', r'mine.py: ZeroDivisionError: division by zero \(.*mine.py, line 6\)$'),
    ("assert 1 > 2, 'no'", r'mine.py: AssertionError: no \(.*mine.py, line 6\)$'),
    ('x = dict().y', r'mine.py: AttributeError: .*\(.*mine.py, line 6\)$'),
    ('def f():\n    raise ValueError\nx = f()', r'mine.py: ValueError: +\(.*mine.py, line 7\)$'),
    ('from mmengine.config import read_base\nwith read_base():\n    from .other import *',
     r'mine.py: configs with read_base\(\) are not read: write _base_')])
def test_cannot_be_read(own_config, text, message):
    with pytest.raises(UserError, match=message):
        load_config(own_config(text + '\n'))  # below five lines of its own


@pytest.mark.parametrize('name, text', [('mine.json', '{"model": '), ('mine.yaml', 'model: [')])
def test_other_formats(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f'{name}: .*Error') as error:
        load_config(str(tmp_path / name))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('text, place', [
    ('from mmengine.hooks import EMAHook\n', 'EMAHook'),
    ('from mmengine.hooks import EMAHook as _e\ncustom_hooks = [dict(type=_e)]\ndel _e\n', 'custom_hooks.0.type')])
def test_a_class_cannot_be_written(own_config, text, place):
    with pytest.raises(UserError, match=f'mine.py: .*{place}: <class .*EMAHook.> cannot be written .* as text'):
        complete(load_config(own_config(text))[-1][1])


def test_an_item_of_a_list_as_an_option(own_config):
    with pytest.raises(UserError, match=r'vis_backends.1=None: give the whole list, visualizer.vis_backends='):
        load_config(own_config(), {'visualizer.vis_backends.1': None})
