"""A config as a user writes it: shipped files below, a few keys of one's own on top, and a run of about a second."""
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quick_runner(monkeypatch):
    """Half of so short a run would be spent on asking for compilers, and on formatting its config."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, False))


@pytest.fixture
def own_config(tiny_store, tmp_path):
    """Text of further keys -> path of the config; 32 clips in batches of 16, two epochs."""
    def write(text: str = '', base: str = 'skeletonclr_toy') -> str:
        path = tmp_path / 'mine.py'
        path.write_text(f"_base_ = '{ROOT}/configs/{base}.py'\n"
                        f"data = dict(store='{tiny_store}')\n"
                        'model = dict(backbone=dict(hidden_channels=4, out_channels=16))\n'
                        'train_dataloader = dict(batch_size=16)\n'
                        'train_cfg = dict(max_epochs=2)\n' + text)
        return str(path)
    return write
