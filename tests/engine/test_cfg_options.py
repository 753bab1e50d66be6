"""--cfg-options: which stages of a recipe take a key, and with which meaning."""
import pytest

from mmskelssl.engine.config import load_config
from mmskelssl.engine.options import locate
from mmskelssl.errors import UserError
from mmskelssl.models import MomentumContrast
from mmskelssl.models.methods.actclr import ActCLR
from mmskelssl.registry import MODELS


def stages(config='configs/actclr_toy.py', **options):
    return dict(load_config(config, {key.replace('__', '.'): value for key, value in options.items()}))


@pytest.mark.parametrize('name, value', [
    ('mask', 'random'), ('topk', 4096), ('late_epoch', 3), ('temperatures', [1, 1]), ('branches', ['intra', 'mixed']),
    ('motion_adaptive', False), ('semantic_pooling', False), ('transfer_in_place', True)])
def test_an_argument_of_one_class_stays_with_it(name, value):
    """AimCLR does not take these arguments. Its own neighbours are called ``mined``."""
    made = stages(**{f'model.{name}': value})
    assert made['actclr'].model[name] == value and name not in made['aimclr'].model


def test_the_other_way_round():
    made = stages(model__mined=2, model__ddm_weight=.1)
    assert made['aimclr'].model.mined == 2 and not {'mined', 'ddm_weight'} & set(made['actclr'].model)


def test_an_inherited_argument_means_the_same_in_both():
    made = stages(model__queue_size=64, model__pooling='mean', model__backbone__dropout=.1,
                  optim_wrapper__optimizer__betas=[.8, .9])
    for cfg in made.values():
        assert (cfg.model.queue_size, cfg.model.pooling, cfg.model.backbone.dropout) == (64, 'mean', .1)
        assert cfg.optim_wrapper.optimizer.betas == [.8, .9]


def test_where_a_class_gives_the_name_a_meaning_of_its_own():
    """ActCLR's temperature belongs to its optional InfoNCE term, and AimCLR's to MomentumContrast."""
    cfg = stages('configs/actclr_ntu60.py', model__temperature=.3)
    assert cfg['aimclr'].model.temperature == .3 and 'temperature' not in cfg['actclr'].model
    owners = {name: locate(cfg[name]._cfg_dict, 'model.temperature').owner for name in cfg}
    assert owners['actclr'] is ActCLR and issubclass(MomentumContrast, owners['aimclr'])


@MODELS.register_module()
class OtherTopk(MomentumContrast):
    """A plug-in whose ``topk`` has a different meaning."""

    def __init__(self, *args, topk: int = 1, **kwargs):
        super().__init__(*args, **kwargs)


def test_no_guess_between_two_meanings(tmp_path):
    (tmp_path / 'first.py').write_text("model = dict(type='OtherTopk')\n")
    (tmp_path / 'last.py').write_text("model = dict(type='ActCLR')\nstages = [dict(name='first', config='first.py')]\n")
    with pytest.raises(UserError, match='first, last give it different meanings; write stages.last.model.topk'):
        stages(str(tmp_path / 'last.py'), model__topk=4)
    made = stages(str(tmp_path / 'last.py'), stages__first__model__topk=4)
    assert made['first'].model.topk == 4 and 'topk' not in made['last'].model


@pytest.mark.parametrize('key, message', [
    ('model.temprature', "'model.temprature' does not exist; did you mean 'temperature'"),
    ('model.backbone.droput', "did you mean 'dropout'"), ('optim_wrapper.clip_grads', "did you mean 'clip_grad'"),
    ('default_hooks.knn.intervall', "did you mean 'interval'"),
    ('data.cache_dirs', "did you mean 'cache_dir'"), ('train_dataloader.pinmemory', "did you mean 'pin_memory'"),
    ('log_processor.windowsize', "did you mean 'window_size'"), ('visualiser', "did you mean 'visualizer'"),
    ('model.optimizer.lr', "'model.optimizer' does not exist"), ('stages.simclr.model.topk', "no stage 'simclr'"),
    ('stages.aimclr', 'say which key of the stage')])
def test_what_no_stage_takes(key, message):
    with pytest.raises(UserError, match=message):
        stages(**{key: 1})


def test_arguments_that_the_config_does_not_have():
    made = stages(train_dataloader__pin_memory=True, data__cache_dir='x', env_cfg__cudnn_benchmark=True,
                  visualizer__vis_backends__1__type='WandbVisBackend',
                  visualizer__vis_backends__1__init_kwargs__mode='offline', load_from='a.pth', compile=True,
                  param_scheduler__0__verbose=True)
    for cfg in made.values():
        assert cfg.train_dataloader.pin_memory and cfg.env_cfg.cudnn_benchmark and cfg.compile
    assert made['actclr'].load_from == 'a.pth' and 'load_from' not in made['aimclr']


@pytest.mark.parametrize('key, value', [('fill', 'noise'), ('joints', [10, 15])])
def test_variants_of_the_swap(key, value):
    cfg = stages('configs/skeattnclr_ntu60.py', **{f'model.data_preprocessor.views.mixed.1.{key}': value})
    swap, = cfg.values()
    assert swap.model.data_preprocessor.views.mixed[1][key] == value
    assert swap.model.data_preprocessor.views.mixed[1].cells == (4, 7)  # the rest remains


def test_variants_of_crrl():
    cfg = stages('configs/crrl_ntu60.py', model__directions=['forward'], model__fusion='direct')
    assert (cfg['crrl'].model.directions, cfg['crrl'].model.fusion) == (['forward'], 'direct')
    assert not {'directions', 'fusion'} & set(cfg['crrlmotion'].model)
