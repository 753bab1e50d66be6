"""From raw files to a trained encoder: toy motions are written as NTU and PKU-MMD files, imported and trained on."""

import pytest
from tool_calls import run

from mmskelssl.datasets import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint
from tools import prepare_data
from tools import train as train_tool

pytestmark = pytest.mark.slow
SHORT = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=8', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False', 'model.backbone.hidden_channels=4',
         'model.backbone.out_channels=16', 'model.queue_size=32']


def test_ntu_files_to_actclr(tmp_path, monkeypatch, capsys):
    run(monkeypatch, prepare_data, 'toy', '--raw', 'ntu', '--out', tmp_path / 'raw', '--samples', 32, '--seed', 4)
    run(monkeypatch, prepare_data, 'ntu60', tmp_path / 'raw', '--out', tmp_path / 'ntu60', '--strict')
    assert 'imported 32, repaired 0, noted 0, skipped 0; xsub_train' in capsys.readouterr().out
    run(monkeypatch, train_tool, 'configs/actclr_ntu60.py', '--work-dir', tmp_path / 'work', '--cfg-options',
        f'data.store={tmp_path / "ntu60"}', 'data.pipeline.2.frames=16', *SHORT)
    for stage, method in (('aimclr', 'AimCLR'), ('actclr', 'ActCLR')):
        model, info = build_from_checkpoint(tmp_path / 'work' / stage / 'epoch_1.pth')
        assert info['method'] == method and len(model.queue) == 32
    assert info['dataset']['about']['data_hash'] == SkeletonStore(tmp_path / 'ntu60').data_hash


def test_pkummd_recordings_to_skeletonclr(tmp_path, monkeypatch, capsys):
    run(monkeypatch, prepare_data, 'toy', '--raw', 'pkummd', '--out', tmp_path / 'raw', '--samples', 60, '--seed', 4)
    run(monkeypatch, prepare_data, 'pkummd', tmp_path / 'raw', '--out', tmp_path / 'pku', '--strict')
    assert 'imported 60' in capsys.readouterr().out
    run(monkeypatch, train_tool, 'configs/skeletonclr_pkummd1.py', '--work-dir', tmp_path / 'work', '--cfg-options',
        f'data.store={tmp_path / "pku"}', 'data.split=xview', 'data.pipeline.2.frames=16', *SHORT)
    model, info = build_from_checkpoint(tmp_path / 'work' / 'epoch_1.pth')
    assert info['method'] == 'SkeletonCLR'
    assert info['dataset']['about']['data_hash'] == SkeletonStore(tmp_path / 'pku').data_hash
