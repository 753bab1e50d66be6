"""An unregistered type is reported in one line with the closest names and where to register it."""
import os
import sys

import pytest

from mmskelssl.datasets.toy.store import write_toy_store
from tools import train as train_tool

CASES = [  # key, value, the nearest name, registry
    ('model.type', 'SkeletonCRL', 'SkeletonCLR', 'MODELS'),
    ('model.backbone.type', 'STGCNN', 'STGCN', 'MODELS'),
    ('model.data_preprocessor.views.query.0.type', 'CropRezise', 'CropResize', 'BATCH_AUGMENTS'),
    ('data.pipeline.0.type', 'SelectPerson', 'SelectPersons', 'TRANSFORMS'),
    ('data.type', 'SkeletonDataSet', 'SkeletonDataset', 'DATASETS'),
    ('default_hooks.knn.type', 'KNHook', 'KNNHook', 'HOOKS'),
    ('optim_wrapper.optimizer.type', 'AdamWW', 'AdamW', 'OPTIMIZERS'),
    ('optim_wrapper.type', 'OptimWrap', 'OptimWrapper', 'OPTIM_WRAPPERS'),
    ('param_scheduler.1.type', 'CosineAnnealing', 'CosineAnnealingLR', 'PARAM_SCHEDULERS'),
    ('train_dataloader.sampler.type', 'Sampler', 'DefaultSampler', 'DATA_SAMPLERS')]


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp('unknown') / 'toy', num_samples=48, seed=1, subjects=4)


@pytest.mark.parametrize('key, value, nearest, registry', CASES)
def test_unknown_types(store, tmp_path, monkeypatch, capsys, key, value, nearest, registry):
    config = tmp_path / 'config.py'  # --cfg-options has no data.type to change
    config.write_text(f"_base_ = '{os.path.abspath('configs/skeletonclr_toy.py')}'\n"
                      "data = dict(type='SkeletonDataset')\n")
    monkeypatch.setattr(sys, 'argv', [
        'train', str(config), '--work-dir', str(tmp_path / 'w'), '--cfg-options', f'data.store={store}',
        'model.backbone.hidden_channels=4', 'model.backbone.out_channels=16', 'train_dataloader.batch_size=8',
        f'{key}={value}'])
    with pytest.raises(SystemExit) as error:
        train_tool.main()
    assert error.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if 'error: ' in line]
    assert len(lines) == 1
    assert nearest in lines[0].partition('did you mean ')[2], lines[0]
    for part in (repr(value), f'mmskelssl.registry.{registry}', 'custom_imports'):
        assert part in lines[0], lines[0]
