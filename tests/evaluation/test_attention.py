"""Shares of masks compared with loops, and the tool end to end."""
import json
import sys

import numpy as np
import pytest
import torch

from mmskelssl.engine.train import train
from mmskelssl.evaluation.attention import motion_energy, quarter_shares, uniform_shares
from tools.analysis import attention as tool


def clips():
    x = torch.randn(3, 3, 5, 10, 2, generator=torch.Generator().manual_seed(0))
    x[1, ..., 1] = 0  # absent
    return x


def test_motion_energy():
    x = clips()
    expected = np.zeros((3, 2, 10))
    for n, m, v in np.ndindex(3, 2, 10):
        track = x[n, :, :, v, m].numpy()
        expected[n, m, v] = np.mean([np.linalg.norm(track[:, t + 1] - track[:, t]) for t in range(4)])
    np.testing.assert_allclose(motion_energy(torch.cat([x, x * 9], 1)), expected, rtol=1e-5)


def test_quarters():
    energy = motion_energy(clips())
    mask = torch.rand(3, 2, 4, 10, generator=torch.Generator().manual_seed(1))
    shares, rows = quarter_shares(mask, energy), []
    for n, m in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1)):
        mass = mask[n, m].sum(0).numpy()
        order = sorted(range(10), key=lambda v: energy[n, m, v])
        parts = order[:3], order[3:6], order[6:8], order[8:]
        rows.append([sum(mass[v] for v in part) / mass.sum() for part in parts])
    np.testing.assert_allclose(shares, rows, rtol=1e-5)
    np.testing.assert_allclose(quarter_shares(torch.ones_like(mask), energy), [uniform_shares(10)] * 5)
    assert uniform_shares(10) == [.3, .3, .2, .2]


@pytest.mark.slow
@pytest.mark.parametrize('config', ['actclr_toy', 'skeattnclr_toy'])
def test_tool(config, tiny_store, tmp_path, monkeypatch, capsys):
    options = {'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'model.backbone.hidden_channels': 4,
               'model.backbone.out_channels': 16, 'train_dataloader.batch_size': 8}
    last = train(f'configs/{config}.py', str(tmp_path / 'run'), cfg_options=options)
    monkeypatch.setattr(sys, 'argv', ['attention.py', last, '--out', str(tmp_path / 'out')])
    tool.main()
    assert 'most moving quarter' in capsys.readouterr().out
    row, = json.loads((tmp_path / 'out' / 'results.json').read_text())['results']
    assert sum(row['quarters']) == pytest.approx(100, abs=.01) and row['num_clips'] == 16
    assert row['ci95'][0] <= row['most_moving'] <= row['ci95'][1]
    assert row['picture'].startswith(f'{row["encoder"].lower()}_joint_tiny_')
    assert (tmp_path / 'out' / row['picture']).stat().st_size > 5000


@pytest.mark.slow
def test_a_method_without_a_mask_is_refused(tiny_store, tmp_path, monkeypatch, capsys):
    options = {'data.store': tiny_store, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8,
               'model.backbone.channels': (4, 4)}
    last = train('configs/simclr_toy.py', str(tmp_path / 'run'), cfg_options=options)
    monkeypatch.setattr(sys, 'argv', ['attention.py', last, '--out', str(tmp_path / 'out')])
    with pytest.raises(SystemExit) as ended:
        tool.main()
    assert ended.value.code == 2 and 'SimCLR has no mask' in capsys.readouterr().err
