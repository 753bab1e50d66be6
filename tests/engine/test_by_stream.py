"""Config values that depend on the stream, regardless of how the stream is chosen."""
import json

import pytest
from mmengine.config import Config

from mmskelssl.commands import benchmark_runs as benchmark_command
from mmskelssl.commands import measure
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import complete, load_config
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

TABLE = "by_stream = dict(bone=dict(model=dict(temperature=.5)), motion=dict(train_cfg=dict(max_epochs=1)))\n"
STREAM = 'model.data_preprocessor.stream'


def loaded(config, **options) -> Config:
    return load_config(config, {key.replace('__', '.'): value for key, value in options.items()})[-1][1]


def test_the_stream_is_chosen_by_option_or_in_the_config(own_config):
    config = own_config(TABLE)
    joint, bone, motion = (loaded(config, model__data_preprocessor__stream=s) for s in ('joint', 'bone', 'motion'))
    assert joint.model.temperature == loaded(config).model.temperature != .5
    assert (bone.model.temperature, bone.train_cfg.max_epochs) == (.5, 2)
    assert (motion.model.temperature, motion.train_cfg.max_epochs) == (joint.model.temperature, 1)
    assert loaded(own_config(TABLE + "model['data_preprocessor'] = dict(stream='bone')\n")).model.temperature == .5


def test_options_go_first_and_the_config_says_what_runs(own_config, tmp_path):
    """This also holds when the dumped config is used again."""
    cfg = loaded(own_config(TABLE), model__data_preprocessor__stream='bone', model__temperature=.3)
    assert cfg.model.temperature == cfg.by_stream.bone.model.temperature == .3
    cfg.dump(tmp_path / 'dumped.py')
    assert loaded(str(tmp_path / 'dumped.py')).model.temperature == .3
    off = loaded(own_config(TABLE), model__data_preprocessor__stream='bone', by_stream=None)
    assert off.model.temperature == loaded(own_config()).model.temperature


def test_the_run_its_config_and_its_description_have_the_value(own_config, tmp_path):
    path = train(own_config(TABLE.replace('max_epochs=1', 'max_epochs=3')), str(tmp_path / 'work'),
                 cfg_options={STREAM: 'bone', 'train_cfg.max_epochs': 1})
    info = load_checkpoint(path)['meta']['mmskelssl']
    assert json.loads(info['decisive'])['model.temperature'] == json.loads(info['model'])['temperature'] == .5
    assert Config.fromfile(tmp_path / 'work' / 'mine.py').model.temperature == .5
    assert 'by_stream.bone: model.temperature = 0.5' in next((tmp_path / 'work').rglob('*.log')).read_text()


def test_benchmark_and_test_apply_it(own_config, tmp_path, monkeypatch):
    """Both choose the stream with an option of the config."""
    seen = {}

    def trains(config, folder, cfg_options, **_):
        cfg = load_config(config, cfg_options)[-1][1]
        seen[cfg.model.data_preprocessor.stream] = complete(cfg)[1].model['temperature']
        raise UserError('enough')
    monkeypatch.setattr(benchmark_command, 'train', trains)
    stock, config = loaded(own_config()).model.temperature, own_config(TABLE)
    for stream in ('joint', 'bone'):
        with pytest.raises(UserError, match='enough'):
            benchmark_command.benchmark(config, str(tmp_path / 'out'), streams=[stream])
    assert seen == dict(joint=stock, bone=.5)
    described = []
    monkeypatch.setattr(measure, 'build_model', lambda model, where: described.append(model))
    with pytest.raises(UserError, match='none.pth: no such checkpoint file'):
        measure.evaluate_with_config(config, 'none.pth', ['knn'], str(tmp_path), cfg_options={STREAM: 'bone'})
    assert described[0]['temperature'] == .5


def test_every_stage_has_its_own_table(own_config):
    config = own_config("stages = [dict(name='aimclr', config='mmskelssl::aimclr_toy.py')]\n"
                        'by_stream = dict(bone=dict(model=dict(topk=7)))\n', base='actclr_toy')
    names = dict(load_config(config, {STREAM: 'bone'}))
    assert names['mine'].model.topk == 7 and 'topk' not in names['aimclr'].model


def test_a_later_file_is_not_overridden(own_config, tmp_path):
    (tmp_path / 'base.py').write_text(open(own_config(TABLE)).read())
    later = tmp_path / 'later.py'
    later.write_text("_base_ = 'base.py'\nmodel = dict(temperature=.25)\n")
    assert loaded(str(later)).model.temperature == .25
    with pytest.raises(UserError, match='temperature is 0.25, and by_stream.bone of a base file says 0.5: write it in'):
        loaded(str(later), model__data_preprocessor__stream='bone')
    assert loaded(str(later), model__data_preprocessor__stream='bone', model__temperature=.4).model.temperature == .4
    later.write_text("_base_ = 'base.py'\nmodel = dict(temperature=.25)\n"
                     'by_stream = dict(bone=dict(model=dict(temperature=.6)))\n')
    assert loaded(str(later), model__data_preprocessor__stream='bone').model.temperature == .6
    again = tmp_path / 'again.py'  # the change is two files below
    later.write_text("_base_ = 'base.py'\nmodel = dict(temperature=.25)\n")
    again.write_text("_base_ = 'later.py'\n")
    with pytest.raises(UserError, match='temperature is 0.25, and by_stream'):
        loaded(str(again), model__data_preprocessor__stream='bone')


@pytest.mark.parametrize('table, message', [
    ('dict(bones=dict())', 'by_stream.bones: no such stream; there are joint, bone, motion'),
    ('[1]', r'by_stream is \[1\]; it must be dict'), ('dict(bone=3)', 'by_stream is .*it must be dict'),
    ('dict(bone=dict(model=dict(temprature=1)))', "'model.temprature' does not exist; did you mean 'temperature'"),
    ('dict(bone=dict(model=dict(data_preprocessor=dict(stream="joint"))))', 'stream: this key cannot depend'),
    ('dict(bone=dict(stages=[]))', 'stages: this key cannot depend on the stream')])
def test_mistakes(own_config, table, message):
    with pytest.raises(UserError, match=message):
        loaded(own_config(f'by_stream = {table}\n'), model__data_preprocessor__stream='bone')
