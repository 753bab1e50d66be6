"""A short run of a method with masks, and a copy of its store whose names are hostile."""
import json
import shutil
from pathlib import Path

import pytest

from mmskelssl.datasets.store.columns import write_columns
from mmskelssl.engine.train import train

HOSTILE = ['<img src=x onerror="hacked=1">', '</script><script>hacked=1</script>', '\u202eright to left',
           '$$\\frac{1}{2}$$ {{ 7*7 }} 😀 \'"&amp;']


def rename(store: str, out: Path, ids=str, classes: list[str] | None = None, splits=str) -> str:
    """Copy a store and give its samples, classes and splits other names."""
    shutil.copytree(store, out, ignore=shutil.ignore_patterns('cache', '*cache*'))
    file = out / 'index.json'
    index = json.loads(file.read_text())
    for sample in index['samples']:
        sample['id'] = ids(sample['id'])
    index['splits'] = {splits(name): [ids(sample) for sample in names] for name, names in index['splits'].items()}
    index['classes'] = index['classes'] if classes is None else classes
    file.write_text(json.dumps(index))
    write_columns(str(out), index)
    return str(out)


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
def hostile_store(tiny_store, tmp_path_factory) -> str:
    """The tiny store with markup, scripts, formulas and other directions in the names of its samples and classes."""
    return rename(tiny_store, tmp_path_factory.mktemp('hostile') / 'store',
                  ids=lambda name: f'{name}<script>hacked=1</script>', classes=HOSTILE)
