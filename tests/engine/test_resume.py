"""A run of mmengine's Runner resumes from a plain checkpoint and leaves no half-written file."""
import os

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmskelssl.atomic import write_atomically
from mmskelssl.engine.hooks.plain_checkpoint_hook import PlainCheckpointHook


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.backbone(inputs).square().mean())


class Points(torch.utils.data.Dataset):
    metainfo = dict(classes=('a', 'b'), mean=np.ones(2))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return dict(inputs=torch.full((2,), i / 8))


def run(folder, epochs, name, **options):
    loader = dict(dataset=Points(), batch_size=4, sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=dict(type='default_collate'))
    runner = Runner(
        Line(), str(folder), train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs), experiment_name=f'{folder.name}_{name}',
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)), randomness=dict(seed=0),
        param_scheduler=dict(type='MultiStepLR', milestones=[3]), custom_hooks=[PlainCheckpointHook()],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)), **options)
    runner.train()
    return runner


def test_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / 'whole', 4, 'whole')
    path = str(tmp_path / 'whole' / 'epoch_2.pth')
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    resumed = run(tmp_path / 'resumed', 4, 'resumed', resume=True, load_from=path)
    assert torch.equal(whole.model.backbone.weight, resumed.model.backbone.weight)
    for name in ('train/loss', 'train/lr'):
        histories = [runner.message_hub.get_scalar(name).data[0] for runner in (whole, resumed)]
        np.testing.assert_array_equal(*histories)
    assert not [name for name in os.listdir(tmp_path / 'whole') if name.endswith('.tmp')]


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_atomically(str(path), b'old')

    def full(_):
        raise OSError('no space left')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='no space'):
        write_atomically(str(path), b'new')
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['a.pth']
