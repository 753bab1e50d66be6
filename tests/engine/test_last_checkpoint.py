"""A work_dir refers to its last checkpoint."""
import os

import pytest
import torch

from mmskelssl.engine.work_dir import last_checkpoint
from mmskelssl.errors import UserError


def save(folder, name, at):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=dict(weight=torch.ones(2)), meta=dict(epoch=at, iter=at)), folder / name)
    os.utime(folder / name, (at, at))
    return str(folder / name)


def test_the_last_epoch_of_a_run(tmp_path, capsys):
    save(tmp_path / 'x', 'epoch_2.pth', 2)
    last = save(tmp_path / 'x', 'epoch_16.pth', 16)
    assert last_checkpoint(str(tmp_path / 'x')) == last and f'taking {last}' in capsys.readouterr().out
    assert last_checkpoint(last) == last and not capsys.readouterr().out
    assert last_checkpoint('a.npz') == 'a.npz'
    (tmp_path / 'x' / 'epoch_16.pth').write_bytes(b'damaged')
    assert last_checkpoint(str(tmp_path / 'x')).endswith('epoch_2.pth')
    assert 'skipped' in capsys.readouterr().out


def test_the_last_stage_of_a_run(tmp_path):
    last = save(tmp_path / 'x' / 'actclr', 'epoch_6.pth', 20)
    save(tmp_path / 'x' / 'aimclr', 'epoch_6.pth', 10)
    assert last_checkpoint(str(tmp_path / 'x')) == last


def test_folders_without_a_last_checkpoint_are_refused(tmp_path):
    with pytest.raises(UserError, match='no checkpoint epoch_N.pth'):
        last_checkpoint(str(tmp_path))
    for name in ('joint_seed0', 'joint_seed1'):  # folders of a benchmark, each with the lock of a run
        save(tmp_path / name, 'epoch_1.pth', 1)
        (tmp_path / name / '.lock').touch()
    with pytest.raises(UserError, match=r'holds several runs \(joint_seed0, joint_seed1\): name one'):
        last_checkpoint(str(tmp_path))
