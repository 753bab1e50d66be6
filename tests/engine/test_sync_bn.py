"""Two processes with synchronised batch norm train like one with the whole batch."""
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import nn

from mmskelssl.engine import sync_bn
from mmskelssl.engine.sync_bn import SyncBatchNorm, SyncBNDataParallel, synchronise
from tests.warm import CONTEXT

sys.path.insert(0, str(Path(__file__).parents[1] / 'models' / 'methods'))
from contract_methods import batch, build  # noqa: E402

STEPS, WHOLE = 3, 8


class TwoViews(nn.Module):
    """The same two views of a clip on every rank; augmentations would draw differently for each rank."""

    def forward(self, data, training):
        return dict(inputs=dict(query=data['inputs'], key=1.1 * data['inputs'].flip(2)), data_samples={})


def train(rank, world, wrapper, out, meeting):
    if world > 1:
        torch.distributed.init_process_group('gloo', init_method=f'file://{meeting}', rank=rank, world_size=world)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build('SkeletonCLR', dropout=0., queue_size=20).double()
    model.data_preprocessor = TwoViews()
    wrapped = wrapper(model, device_ids=None, broadcast_buffers=False) if wrapper else model
    optimizer, share = OptimWrapper(torch.optim.SGD(model.parameters(), .1)), WHOLE // world
    for i in range(STEPS):
        clips = batch(WHOLE, seed=i)['inputs'].double()[rank * share:(rank + 1) * share]
        wrapped.train_step(dict(inputs=clips), optimizer)
    if rank == 0:
        torch.save(model.state_dict(), out)


def run(folder, world, wrapper=None):
    out = folder / f'{world}{wrapper and wrapper.__name__}.pt'
    processes = [CONTEXT.Process(target=train, args=(rank, world, wrapper, out, folder / f'meet{out.name}'))
                 for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return torch.load(out, weights_only=True)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    one, two = run(tmp_path, 1), run(tmp_path, 2, SyncBNDataParallel)
    assert set(one) == set(two) and int(two['queue.pointer']) == STEPS * WHOLE % 20
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-6, atol=1e-6, msg=name)
    apart = run(tmp_path, 2, MMDistributedDataParallel)
    assert not torch.allclose(apart['queue.keys'], one['queue.keys'], atol=1e-3)  # every rank its own statistics


@pytest.fixture
def another_process(monkeypatch):
    """Simulate another process with the same clips."""
    monkeypatch.setattr(sync_bn, 'get_world_size', lambda: 2)
    monkeypatch.setattr(sync_bn, 'all_gather', lambda x: [x, x])
    monkeypatch.setattr(sync_bn, 'all_reduce', lambda x: x.mul_(2))


def test_statistics_of_bfloat16_are_float32(another_process):
    norm, plain = SyncBatchNorm(4), nn.BatchNorm1d(4)
    x = 3 * torch.randn(300, 4).bfloat16() + 1
    made = norm(x)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.float(), plain(torch.cat([x, x]).float())[:300], rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)


@pytest.mark.parametrize('shape', [(6, 4), (6, 4, 5), (3, 4, 5, 7)])
def test_values_and_gradients(another_process, shape):
    norm, plain = SyncBatchNorm(4).double(), nn.BatchNorm2d(4).double()
    plain._check_input_dim = lambda x: None
    with torch.no_grad():
        for p, q in zip(norm.parameters(), plain.parameters(), strict=True):
            q.copy_(p.normal_())
    x, weight = torch.randn(2, *shape, dtype=torch.float64)
    ours, twice = x.clone().requires_grad_(), x.clone().requires_grad_()
    (norm(ours) * weight).square().sum().backward()
    (plain(torch.cat([twice, twice])) * torch.cat([weight, weight])).square().sum().backward()
    torch.testing.assert_close(2 * ours.grad, twice.grad)  # the same clip is in both processes
    for p, q in zip(norm.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(2 * p.grad, q.grad)  # the wrapper averages them


def test_one_process_keeps_its_batch_norm():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.BatchNorm2d(2, affine=False)))
    weight, x = model[1].weight, torch.randn(5, 3)
    expected = model[:2](x)
    synchronise(model)
    assert isinstance(model[1], SyncBatchNorm) and model[1].weight is weight and type(model[2][0]) is nn.BatchNorm2d
    model[1].reset_running_stats()
    torch.testing.assert_close(model[:2](x), expected)
