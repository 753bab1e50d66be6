"""A small encoder on the tiny Kinect store, without training."""
import pytest

from mmskelssl.engine.train import train


@pytest.fixture(scope='session')
def encoder_checkpoint(tiny_kinect_store, tmp_path_factory) -> str:
    """A checkpoint of one epoch on 20 joints."""
    return train('configs/simclr_nwucla.py', str(tmp_path_factory.mktemp('inference') / 'joint'), cfg_options={
        'data.store': tiny_kinect_store, 'data.split': 'standard', 'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 16, 'model.backbone.channels': (8, 8, 16, 16)})
