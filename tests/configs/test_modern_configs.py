"""The configs of the masked and the negative-free methods: those for small data take a step, those of toy a run."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.config import load_config
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = ('mamp', 'mampmasked', 'decorrelation', 'byol', 'vicreg', 'barlowtwins')
LAYOUTS = dict(toy='ntu25', nwucla='kinect20', msr='kinect20', bandai='bandai21', sbu='sbu15')
SMALL = sorted(path.stem for path in CONFIGS.glob('*.py')
               if path.stem.split('_')[0] in METHODS and path.stem.split('_')[1] in LAYOUTS)
TOY = [name for name in SMALL if name.endswith('_toy') and name != 'mampmasked_toy']


@pytest.mark.parametrize('name', SMALL)
def test_a_step(name):
    """On clips of the length, the layout and the persons of the data set."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    layout, model = get_layout(LAYOUTS[name.split('_')[1]]), cfg.model
    steps = {step['type']: step for step in cfg.data.pipeline}
    given = model.data_preprocessor
    given.layout = model.backbone.layout = layout.name
    model.backbone.in_channels = SkeletonPreprocessor.channels(
        3, given.get('alignment', 'none'), given.get('velocity', False), stream=given.stream)
    torch.manual_seed(0)
    made = MODELS.build(model)
    shape = (4, 3, steps['ResizeFrames']['frames'], layout.num_joints, steps['SelectPersons']['max_persons'])
    clips = torch.randn(shape).cumsum(2) * .1
    clips[0, ..., 1:] = 0  # no second person
    data = dict(inputs=clips, data_samples=dict(index=torch.arange(4)))
    loss, _ = made.parse_losses(made(**made.data_preprocessor(data, True), mode='loss'))
    loss.backward()
    grads = [p.grad for p in made.backbone.parameters() if p.grad is not None]
    assert loss.isfinite() and grads and all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize('name', TOY)
def test_toy_trains(name, tiny_store, tmp_path):
    """All stages of the config as it is, for two iterations each."""
    path = train(str(CONFIGS / f'{name}.py'), str(tmp_path / 'run'), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16})
    stages = [stage for stage, _ in load_config(str(CONFIGS / f'{name}.py'))]
    assert stages == (['mamp', 'nn_tuning'] if name == 'mamp_toy' else [name])
    saved = load_checkpoint(path)
    assert saved['meta']['iter'] == 2
    assert all(value.isfinite().all() for value in saved['state_dict'].values() if value.is_floating_point())
    if len(stages) > 1:
        first = load_checkpoint(str(tmp_path / 'run' / 'mamp' / 'epoch_1.pth'))['state_dict']
        frozen = [key for key in first if key.startswith(('backbone.patch.', 'backbone.blocks.0.'))]
        assert frozen and all(torch.equal(first[key], saved['state_dict'][key]) for key in frozen)
        assert not torch.equal(first['backbone.blocks.3.mlp.0.weight'],
                               saved['state_dict']['backbone.blocks.3.mlp.0.weight'])


def test_two_stages_of_one_name_are_refused(tmp_path):
    (tmp_path / 'mamp_mine.py').write_text(
        f"_base_ = '{CONFIGS}/mamp_toy.py'\n"
        "stages = [dict(name='mamp', config='mmskelssl::mampmasked_toy.py', carry=['backbone.'])]\n")
    with pytest.raises(UserError, match="the name 'mamp' appears twice; name the stage of this file"):
        load_config(str(tmp_path / 'mamp_mine.py'))
