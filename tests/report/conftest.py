"""A short run of a method with masks, and a copy of its store whose names are hostile."""
import pytest
from hostile_store import HOSTILE, rename
from read_page import Page, report

from mmskelssl.engine.train import train


@pytest.fixture(scope='session')
def report_run(tiny_store, tmp_path_factory) -> str:
    """The work_dir of SkeAttnCLR after one epoch on 25 joints."""
    work_dir = tmp_path_factory.mktemp('report') / 'run'
    train('configs/skeattnclr_toy.py', str(work_dir), cfg_options={
        'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16,
        'data.pipeline.2.frames': 8, 'default_hooks.logger.interval': 1, 'model.backbone.hidden_channels': 4,
        'model.backbone.out_channels': 16, 'model.queue_size': 20})
    return str(work_dir)


@pytest.fixture(scope='session')
def page(report_run) -> Page:
    """The page of the run."""
    return report(report_run)


@pytest.fixture(scope='session')
def hostile_store(tiny_store, tmp_path_factory) -> str:
    """The tiny store with markup, scripts, formulas and other directions in the names of its samples and classes."""
    return rename(tiny_store, tmp_path_factory.mktemp('hostile') / 'store',
                  ids=lambda name: f'{name}<script>hacked=1</script>', classes=HOSTILE)
