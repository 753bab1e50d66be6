"""A config as a user writes it, which derives from shipped files and sets a few keys. A run takes about a second."""
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quick_runner(monkeypatch):
    """Skip looking for compilers and formatting the config, which would take half of such a short run."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, False))


@pytest.fixture
def own_config(tiny_store, tmp_path):
    """Function from the text of additional keys to the path of a config: 32 clips in batches of 16, two epochs."""
    def write(text: str = '', base: str = 'skeletonclr_toy') -> str:
        path = tmp_path / 'mine.py'
        path.write_text(f"_base_ = '{ROOT}/configs/{base}.py'\n"
                        f"data = dict(store='{tiny_store}')\n"
                        'model = dict(backbone=dict(hidden_channels=4, out_channels=16))\n'
                        'train_dataloader = dict(batch_size=16)\n'
                        'train_cfg = dict(max_epochs=2)\n' + text)
        return str(path)
    return write
