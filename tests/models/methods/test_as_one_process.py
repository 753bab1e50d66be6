"""Two processes with half a batch each compute the loss and the gradients of one process with the whole batch."""
import sys
from pathlib import Path

import pytest
import torch
from contract_methods import QUEUED, batch, build
from torch import nn

from mmskelssl.engine.sync_bn import SyncBNDataParallel
from mmskelssl.models import losses
from mmskelssl.registry import MODELS
from tests.warm import CONTEXT

sys.path.insert(0, str(Path(__file__).parent))
WHOLE = 8
# ActCLR is not among them: each process mixes clips of its own batch. Masked methods draw their own masks.
METHODS = ['SimCLR', 'SkeletonCLR', 'AimCLR', 'SkeAttnCLR', 'CRRLMotion', 'BarlowTwins', 'VICReg', 'BYOL',
           'FeatureDecorrelation', 'NNTuning']


class FixedViews(nn.Module):
    """The same views of a clip in any process. Augmentations would draw differently in each."""


def views_of(names, rows):
    clips = batch(WHOLE, seed=3)['inputs'].double()
    return {name: (clips * (1 + .1 * i) + .05 * clips.roll(i, 2))[rows] for i, name in enumerate(names)}


def compute(rank, world, folder):
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank,
                                             world_size=world)
    made, share = {}, WHOLE // world
    rows = slice(rank * share, (rank + 1) * share)
    for method in METHODS:
        torch.manual_seed(0)
        model = build(method, dropout=0., **dict(in_batch=True, queue_size=12) if method in QUEUED else {}).double()
        model.data_preprocessor = FixedViews()
        wrapped = SyncBNDataParallel(model, device_ids=None, broadcast_buffers=False) if world > 1 else model
        samples = dict(index=torch.arange(WHOLE)[rows], num_frames=torch.full((share,), 16))
        total, _ = model.parse_losses(wrapped(views_of(MODELS.get(method).view_names, rows), samples, mode='loss'))
        total.backward()
        made[method] = dict(loss=total.detach(), state=dict(model.state_dict()), gradients={
            name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    torch.save(made, folder / f'{world}_{rank}.pt')
    if world > 1:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Return the results of one process, and of each of two processes."""
    folder = tmp_path_factory.mktemp('processes')
    processes = [CONTEXT.Process(target=compute, args=(rank, 2, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    compute(0, 1, folder)
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    return [torch.load(folder / f'{name}.pt', weights_only=True) for name in ('1_0', '2_0', '2_1')]


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_loss_and_gradients(results, method):
    one, first, second = (result[method] for result in results)
    torch.testing.assert_close((first['loss'] + second['loss']) / 2, one['loss'], rtol=1e-6, atol=1e-9)
    assert one['gradients'].keys() == first['gradients'].keys() == second['gradients'].keys()
    largest = max(float(gradient.abs().max()) for gradient in one['gradients'].values())
    for name, wanted in one['gradients'].items():
        for other in (first, second):  # biases before a batch norm have no gradient but rounding errors
            torch.testing.assert_close(other['gradients'][name], wanted, rtol=1e-6, atol=1e-9 * largest,
                                       msg=lambda text, name=name: f'{name}: {text}')
    for name, wanted in one['state'].items():  # queues and batch statistics
        torch.testing.assert_close(first['state'][name], wanted, rtol=1e-6, atol=1e-9)


def compute_loss(name, first, second):
    made = dict(nt_xent=lambda: losses.nt_xent(first, second, .3),
                in_batch=lambda: losses.info_nce(losses.contrast_logits(first, second, first.new_ones(6, 2), .2, True)),
                redundancy=lambda: losses.redundancy(first, second, .1),
                variance=lambda: losses.variance_hinge(first), covariance=lambda: losses.covariance_penalty(first))
    return made[name]()


@pytest.mark.parametrize('name', ['nt_xent', 'in_batch', 'redundancy', 'variance', 'covariance'])
def test_the_mean_over_processes_is_the_loss_of_one(monkeypatch, name):
    """Three processes, simulated."""
    torch.manual_seed(0)
    whole = [nn.functional.normalize(torch.randn(9, 6, dtype=torch.float64), dim=1) for _ in range(2)]
    expected, found = compute_loss(name, *whole), []
    for rank in range(3):
        mine = [x[3 * rank:3 * rank + 3] for x in whole]
        monkeypatch.setattr(losses, 'gather', lambda x, mine=mine: whole[[x is y for y in mine].index(True)])
        monkeypatch.setattr(losses, 'own_rows', lambda n, device, rank=rank: torch.arange(n) + rank * n)
        found.append(compute_loss(name, *mine))
    torch.testing.assert_close(sum(found) / 3, expected, rtol=1e-12, atol=1e-12)
