"""A run with parts of mmengine that the shipped configs do not use resumes exactly, too."""
import pytest
import torch

from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError

EVERY_EPOCH = 'default_hooks = dict(checkpoint=dict(interval=1), knn=None, progress_bar=None)\n'


@pytest.mark.parametrize('text', [
    "param_scheduler = [dict(type='OneCycleLR', eta_max=0.01, total_steps=4, by_epoch=False)]",
    "custom_hooks = [dict(type='EMAHook', momentum=0.2)]"])
def test_resumes_exactly(own_config, tmp_path, text):
    config = own_config(EVERY_EPOCH + text + '\n')
    whole = load_checkpoint(train(config, str(tmp_path / 'whole')))
    resumed = load_checkpoint(train(config, str(tmp_path / 'again'), resume=str(tmp_path / 'whole' / 'epoch_1.pth')))
    assert resumed['param_schedulers'] == whole['param_schedulers']
    for part in ('state_dict', 'ema_state_dict'):
        assert part in whole or part == 'ema_state_dict'
        for name, value in whole.get(part, {}).items():
            assert torch.equal(value, resumed[part][name]), name


def test_a_hook_that_the_run_is_too_short_for(own_config, tmp_path):
    with pytest.raises(UserError, match=r'mine.py: .*begin_epoch should be smaller .*max_epochs: 2'):
        train(own_config("custom_hooks = [dict(type='EMAHook', begin_epoch=9)]\n"), str(tmp_path / 'work'))
