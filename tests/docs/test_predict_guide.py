"""The commands and the Python example of docs/predict.md run as they stand, in order, on a small encoder."""
import os
import re
import shlex

import pytest
from doc_commands import ROOT, commands, read

from mmskelssl.cli import main
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.engine.train import train


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data/toy and the run of an earlier page."""
    write_toy_store(tmp_path / 'data' / 'toy', num_samples=96, seed=1, subjects=4)
    monkeypatch.chdir(tmp_path)
    made = train(str(ROOT / 'configs/simclr_toy.py'), 'work_dirs/toy_joint', cfg_options={
        'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8, 'model.backbone.channels': (8, 8, 16, 16)})
    os.rename(made, 'work_dirs/toy_joint/epoch_16.pth')
    return tmp_path


def test_the_page(place, capsys):
    page = read('docs/predict.md')
    found = commands(page)
    assert len(found) == 4 and all(command.startswith('mmskelssl ') for command in found)
    for command in found:
        main(shlex.split(command)[1:])
    for name in ('toy_model/README.md', 'predictions.csv', 'segments.csv', 'windows.npz'):
        assert (place / 'work_dirs' / name).stat().st_size > 100
    example, = re.findall(r'```python\n(.*?)```', page, re.S)
    capsys.readouterr()
    exec(compile(example, 'docs/predict.md', 'exec'), {})
    lines = capsys.readouterr().out.splitlines()
    assert '(4, 16)' in lines[0] and len(lines) > 1
