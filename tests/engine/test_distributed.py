"""Two gloo processes started by tools/dist_train.sh share one model and one queue, and no rank waits forever."""
import os
import subprocess
from pathlib import Path

import pytest
import torch

from mmskelssl.datasets.toy.store import write_toy_store
from tests.conftest import write_tiny_store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PROJECT = ['mmskelssl.models', 'mmskelssl.datasets', 'mmskelssl.engine']
STAGES = ['pool', 'skeletonclr', 'aimclr', 'actclr']  # the first trains SkeletonCLR on stores of two layouts
SMALL = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=5', 'data.pipeline.2.frames=16',
         'model.backbone.hidden_channels=4', 'model.backbone.out_channels=16', 'model.queue_size=64']

# Written to a separate file that custom_imports loads in both processes.
DUMP = '''
import os

import torch
from mmengine.config import config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import runner

from mmskelssl.registry import HOOKS

# As in conftest.py: formatting the config and looking for compilers take most of the time of a short run.
config.FormatCode = lambda text, **_: (text, False)
runner.collect_env = dict


@HOOKS.register_module()
class DumpRankHook(Hook):
    """Dump the model of each rank before the first step and after the last, and the views of its first batch."""
    priority = 'LOWEST'

    def save(self, runner, name):
        os.makedirs(runner.work_dir, exist_ok=True)
        state = {key: value.clone() for key, value in runner.model.module.state_dict().items()}
        torch.save(dict(state=state, world=get_world_size(), index=getattr(self, 'index', None)),
                   f'{runner.work_dir}/{name}{get_rank()}.pt')

    def before_train(self, runner):
        self.save(runner, 'before')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.index = data_batch['data_samples']['index']

    def after_train(self, runner):
        self.save(runner, 'after')
'''


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return write_toy_store(tmp_path_factory.mktemp('toy') / 'toy', num_samples=60, seed=2, subjects=4)


@pytest.fixture(scope='module')
def work(store, tmp_path_factory, warm_python):
    """Train all stages in two processes, which dump their models."""
    tmp_path = tmp_path_factory.mktemp('two')
    small = write_tiny_store(tmp_path / 'small', 'kinect20', 1, samples=24)
    pool = f'store=None, stores=[dict(store={store!r}, weight=3), dict(store={small!r}, weight=2)]'
    (tmp_path / 'dump_rank.py').write_text(DUMP)
    for name in STAGES:
        (tmp_path / f'{name}_toy.py').write_text(f'''
_base_ = ['{ROOT}/configs/{name.replace("pool", "skeletonclr")}_toy.py']
data = dict({pool if name == 'pool' else f'store={store!r}'})
custom_imports = dict(imports={[*PROJECT, 'dump_rank']})
default_hooks = dict(fill_queue=dict(type='FillQueueHook'), dump_rank=dict(type='DumpRankHook'))
''')
    with open(tmp_path / 'actclr_toy.py', 'a') as file:
        stages = [dict(name=name, config=f'{name}_toy.py') for name in STAGES[:-1]]
        stages[0]['carry'] = []  # its encoder is for other joints
        file.write(f'stages = {stages}\n')
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': f'{ROOT}:{tmp_path}',
           'PATH': f'{warm_python}:{os.environ["PATH"]}'}
    command = ['bash', ROOT / 'tools' / 'dist_train.sh', tmp_path / f'{STAGES[-1]}_toy.py', '2', '--work-dir',
               tmp_path / 'work', '--cfg-options', *SMALL]
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    try:
        output, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers
        pytest.fail(f'two processes hang:\n{process.communicate(timeout=40)[0][-3000:]}')
    assert process.returncode == 0, output[-3000:]
    return tmp_path / 'work'


def ranks(folder, when):
    dumps = [torch.load(folder / f'{when}{rank}.pt', weights_only=True) for rank in (0, 1)]
    assert [dump['world'] for dump in dumps] == [2, 2]
    return dumps


def check_stage(folder):
    """Weights, key weights and queue agree between the ranks, and training has changed them."""
    before, after = ([dump['state'] for dump in ranks(folder, when)] for when in ('before', 'after'))
    shared = [*after[0]]  # including batch statistics
    assert {'queue.keys', 'queue.pointer', 'key_encoder.updates', 'backbone.edge_importance.0',
            'key_encoder.projector.mlp.0.weight'} <= set(shared)
    for states in (before, after):
        different = [key for key in shared if not torch.equal(states[0][key], states[1][key])]
        assert not different, different
    for key in ('queue.keys', 'backbone.blocks.9.tcn.2.weight', 'key_encoder.projector.mlp.0.weight',
                'projector.mlp.0.weight'):
        assert not torch.equal(before[0][key], after[0][key]), key
    torch.testing.assert_close(before[0]['queue.keys'].norm(dim=1), torch.ones(64))
    assert int(before[0]['queue.pointer']) == 70 % 64  # filled in 7 rounds with 5 keys from each rank
    steps = int(after[0]['key_encoder.updates'])
    assert steps > 0 and int(after[0]['queue.pointer']) == (int(before[0]['queue.pointer']) + 10 * steps) % 64
    first, second = (set(dump['index'].tolist()) for dump in ranks(folder, 'after'))
    assert len(first) == len(second) == 5 and not first & second  # the sampler distributes the clips
    saved = torch.load(folder / 'epoch_1.pth', weights_only=True)['state_dict']
    assert all(torch.equal(saved[key], after[0][key]) for key in shared)


@pytest.mark.parametrize('stage', STAGES)
def test_the_ranks_train_one_model(work, stage):
    check_stage(work / stage)


def test_both_ranks_start_from_the_stage_before(work):
    first = torch.load(work / 'aimclr' / 'epoch_1.pth', weights_only=True)['state_dict']
    for dump in ranks(work / 'actclr', 'before'):
        assert torch.equal(dump['state']['backbone.blocks.9.tcn.2.weight'], first['backbone.blocks.9.tcn.2.weight'])
        assert torch.equal(dump['state']['projector.mlp.3.weight'], first['projector.mlp.3.weight'])


def test_each_rank_takes_the_same_from_each_store_of_a_pool(work):
    """Three of five clips come from the store of 60 clips, and no clip is in both batches."""
    indices = [dump['index'].tolist() for dump in ranks(work / 'pool', 'after')]
    assert [sum(i < 60 for i in rank) for rank in indices] == [3, 3] and len({*indices[0], *indices[1]}) == 10
