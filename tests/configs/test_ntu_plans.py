"""Every NTU60 config runs on a store of NTU's shape: each stage a few iterations, with narrow networks."""
import glob
import json
import os.path as osp
from pathlib import Path

import numpy as np
import pytest
import torch

from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.config import load_config
from mmskelssl.engine.train import train
from mmskelssl.layouts import get_layout
from tests.conftest import random_clip

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PLANS = sorted(path.stem for path in CONFIGS.glob('*_ntu60.py'))
CHOSEN = {'train_dataloader.batch_size': 8, 'train_dataloader.num_workers': 0, 'train_cfg.max_epochs': 1,
          'train_dataloader.persistent_workers': False, 'default_hooks.logger.interval': 1, 'compile': False}
OPTIONS = dict(
    skeletonclr={'default_hooks.knn.lineage': True}, aimclr={'model.mining_epoch': 0},
    actclr={'model.topk': 12, 'model.mining_epoch': 0, 'model.late_epoch': 0},
    skeattnclr={'model.attention.heads': 2, 'model.predictor_channels': 8},
    crrl={'stages.crrl.model.head.hidden_channels': 8, 'stages.crrl.model.head.out_channels': 8})
# Encoders other than ST-GCN and the GRU, whose widths have other names. The schedule has a warm-up of 20 epochs.
VIT = {'model.backbone.size': 'tiny', 'model.backbone.channels': 8, 'model.backbone.heads': 2}
OTHERS = dict(
    mamp={**VIT, 'stages.mamp.model.decoder_channels': 8, 'stages.mamp.model.decoder_heads': 2,
          'stages.mamp.model.decoder_depth': 1, 'stages.nn_tuning.model.queue_size': 16,
          'stages.nn_tuning.model.predictor_channels': 8, 'param_scheduler': [], 'stages.nn_tuning.model.frozen': [
              'backbone.patch.', 'backbone.blocks.0.'],
          'stages.nn_tuning.optim_wrapper.paramwise_cfg': None},  # of blocks that the tiny encoder lacks
    mampmasked={**VIT, 'model.decoder_channels': 8, 'model.decoder_heads': 2, 'model.decoder_depth': 1,
                'param_scheduler': []},
    slim={**VIT, 'model.backbone.depth': 1, 'model.head.hidden_channels': 8, 'model.head.bottleneck_channels': 6,
          'model.head.prototypes': 16})
WITHOUT_QUEUE = dict(
    decorrelation={'model.projector.hidden_channels': 8, 'model.projector.out_channels': 6},
    byol={'model.projector.hidden_channels': 8, 'model.projector.out_channels': 6, 'model.predictor_channels': 8})
SEQUENCES = ('crrl', 'crrlmotion', 'crrlreconstruct')
UNQUEUED = ('crrlreconstruct',)


@pytest.fixture(scope='module')
def ntu(tmp_path_factory):
    """24 training and 8 test clips of up to 300 frames. Every other clip has no second person."""
    path, rng, layout = tmp_path_factory.mktemp('ntu') / 'ntu60', np.random.default_rng(0), get_layout('ntu25')
    splits = dict(xsub_train=[], xsub_test=[], xview_train=[], xview_test=[])
    with StoreWriter(path, 'ntu25', classes=[f'A{i + 1:03}' for i in range(4)], source='test') as writer:
        for i in range(32):
            camera, person = 1 + i % 3, (1, 2, 4, 3)[i % 4]  # subject 3 is a test subject
            action, frames = i // 4 % 4, 300 if i < 2 else 40 + i
            name = f'S{1 + i:03}C{camera:03}P{person:03}R001A{action + 1:03}'
            writer.add(name, random_clip(rng, layout, 1 + i % 2, frames, action), action, subject=person)
            splits['xsub_test' if person == 3 else 'xsub_train'].append(name)
            splits['xview_test' if camera == 1 else 'xview_train'].append(name)
        for split, names in splits.items():
            writer.set_split(split, names)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize('name', PLANS)
def test_every_stage_runs(name, ntu, tmp_path):
    method, out = name.split('_')[0], str(tmp_path / 'run')
    narrow = OTHERS.get(method, {'model.backbone.hidden_channels': 4})
    if method not in (*SEQUENCES, *OTHERS):
        narrow |= {'model.backbone.out_channels': 8, 'model.backbone.dropout': 0.}
    narrow |= WITHOUT_QUEUE.get(method, {})
    if method not in (*UNQUEUED, *OTHERS, *WITHOUT_QUEUE):
        narrow |= {'model.queue_size': 16, 'model.projector.hidden_channels': 8, 'model.projector.out_channels': 6}
    options = {'data.store': ntu, **CHOSEN, **narrow, **OPTIONS.get(method, {})}
    train(str(CONFIGS / f'{name}.py'), out, cfg_options=options)
    stages = [stage for stage, _ in load_config(str(CONFIGS / f'{name}.py'))]
    for stage in stages:
        folder = osp.join(out, stage) if len(stages) > 1 else out
        saved = torch.load(osp.join(folder, 'epoch_1.pth'), weights_only=False)
        assert all(value.isfinite().all() for value in saved['state_dict'].values() if value.is_floating_point())
        assert saved['meta']['iter'] == 3
        if 'queue.keys' in saved['state_dict']:  # 24 keys have gone round a queue of 16
            assert int(saved['state_dict']['queue.pointer']) == 8
            assert int(saved['state_dict'].get('key_encoder.updates', 3)) == 3
        scalars, = glob.glob(osp.join(folder, '**', 'scalars.json'), recursive=True)
        lines = [json.loads(line) for line in Path(scalars).read_text().splitlines()]
        losses = [value for line in lines for key, value in line.items() if key.split('/')[-1] == 'loss']
        assert len(losses) == 3 and np.isfinite(losses).all()
        if 'default_hooks.knn.lineage' in OPTIONS.get(method, {}):
            assert {f'val/lineage_knn{k}_top1' for k in (10, 20, 40)} <= {key for line in lines for key in line}


def test_all_methods_have_a_plan():
    assert {name.split('_')[0] for name in PLANS} == {
        'skeletonclr', 'aimclr', 'actclr', 'skeattnclr', 'crrl', 'crrlmotion', 'crrlreconstruct', 'mamp', 'mampmasked',
        'decorrelation', 'byol', 'slim'}
