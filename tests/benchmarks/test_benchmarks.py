"""Both arms of every benchmark compute the same, and the runner reports what it measured."""
import json
import sys
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu_step, measure, run, scaling
from benchmarks.cases import actclr, preprocess, skeattnclr
from mmskelssl.augment import MixPlan
from mmskelssl.errors import UserError

SMALL = {'B1': dict(hidden=4), 'B2': dict(hidden=4), 'B3': dict(hidden=4)}
CHECKED = [name for name in run.BENCHMARKS if name not in ('B1b', 'B2b', 'B10')]  # these share arms, or have none


@pytest.mark.parametrize('name', CHECKED)
def test_both_arms_agree(name):
    benchmark = run.BENCHMARKS[name]
    assert benchmark.check(**SMALL.get(name, {})) <= benchmark.tolerance


@pytest.mark.slow
@pytest.mark.parametrize('plan', [MixPlan(1, 'cutmix', (0, 3), 1, 2), MixPlan(2, 'resizemix', (1, 2, 4), 0, 1),
                                  MixPlan(1, 'mixup', (2,), 0, 3, lam=.3)], ids=lambda plan: plan.kind)
def test_actclr_agrees_for_every_kind_of_mixing(monkeypatch, plan):
    monkeypatch.setattr(actclr, 'draws', lambda *args: (plan, 1, plan))
    monkeypatch.setattr('mmskelssl.models.methods.actclr.draw_mix', lambda *args, **kwargs: plan)
    monkeypatch.setattr('mmskelssl.models.methods.actclr.draw_shift', lambda *args: 1)
    assert actclr.check(hidden=4, out_channels=16) <= 1e-10


@pytest.mark.slow
def test_a_difference_is_seen(monkeypatch):
    """The difference may be in one gradient or in the loss."""
    info_nce = skeattnclr.PlainSkeAttnCLR.info_nce
    monkeypatch.setattr(skeattnclr.PlainSkeAttnCLR, 'info_nce', lambda *args: 1.000001 * info_nce(*args))
    assert skeattnclr.check(**SMALL['B2']) > 1e-7


def test_arms_that_differ_are_not_timed(monkeypatch):
    benchmark = measure.Benchmark('never', lambda quick: pytest.fail('was run'), lambda: 1e-3, .5)
    monkeypatch.setitem(run.BENCHMARKS, 'B6', benchmark)
    with pytest.raises(UserError, match='B6: the arms differ by 1.0e-03'):
        run.measure('B6', True)


def test_paired_times_take_turns_and_weigh_the_reference(monkeypatch):
    calls, clock = [], iter(range(100))
    monkeypatch.setattr(measure, 'seconds', lambda function: (function(), float(next(clock)))[1] + 1)
    case = measure.Case(lambda: calls.append('ours'), lambda: calls.append('plain'), reference_weight=2.)
    made = measure.paired(case, 2)
    assert calls == ['ours', 'plain', 'plain', 'ours', 'ours', 'plain']
    assert made['ratio'] == pytest.approx((2 / (2 * 1) + 3 / (2 * 4)) / 2) and made['pairs'] == 2


def test_flops_count_what_autograd_does_too():
    x, w = torch.randn(4, 6, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    assert measure.count_flops(lambda: (x @ w).sum().backward()) == 2 * 4 * 6 * 5 * 3


def test_products_of_a_call_are_repeated_alone():
    """Those of linear layers and of attention, forward and backward, and nothing else."""
    x, w = torch.ones(2, 1, 4, 6, requires_grad=True), torch.ones(6, 6, requires_grad=True)

    def function():
        y = x @ w
        torch.nn.functional.scaled_dot_product_attention(y, y, y).exp().sum().backward()
    with measure._Products() as products:
        function()
    names = [call[0]._overloadpacket.__name__ for call in products.calls]
    assert sum('attention' in name for name in names) == 2 and len(names) == 2 + 3
    products.repeat()
    assert measure.over_products(function, 15) > 1
    results = [dict(id='B13', title='', goal=None, spread=[1, 1], ratio=1., ours_s=1., reference_s=1., floor_ratio=2.,
                    parity=0., **more) for more in (dict(), dict(products_ratio=1.2))]
    assert [run.row(result)[7] for result in results] == ['2.0 x', '2.0 x; 1.20 x its products']


def test_bytes_are_those_of_operators_and_not_of_views():
    x = torch.zeros(4, 8)  # 128 bytes
    assert measure.count_work(lambda: x.t().view(-1, 4).unsqueeze(0))[1] == 0
    assert measure.count_work(lambda: x + 1)[1] == measure.count_work(lambda: x.relu_())[1] == 2 * 128
    assert measure.count_work(lambda: torch.cat([x, x]))[1] == 4 * 128


@pytest.mark.slow
def test_the_runner_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'made.json'
    out.write_text(json.dumps(dict(results=[dict(id='B1', ratio=.4), dict(id='B7', ratio=9.)], command='all')))
    few = replace(run.BENCHMARKS['B7'], make=lambda quick: preprocess.make_normalising(quick, count=20))
    monkeypatch.setitem(run.BENCHMARKS, 'B7', few)
    monkeypatch.setattr(run, 'peaks', lambda: measure.peaks(256))  # 1024 takes most of a minute
    monkeypatch.setattr(sys, 'argv', ['run.py', '--only', 'B7', '--quick', '--out', str(out)])
    run.main()
    content = json.loads(out.read_text())
    kept, result = content['results']
    assert kept == dict(id='B1', ratio=.4, command='all') and '--only B7' in result['command']
    assert result['id'] == 'B7' and 0 < result['ratio'] < 9 and result['parity'] <= 1e-12 and result['pairs'] == 2
    assert len(result['spread']) == 2 and result['floor_ratio'] > 1 and result['quick']
    assert {'cpu', 'threads'} <= set(content['machine']) and '--only B7' in content['command']
    assert f'{result["ratio"]:.3g}' in capsys.readouterr().out


def test_an_unknown_id_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['run.py', '--only', 'B99'])
    with pytest.raises(SystemExit):
        run.parse_args()
    assert 'unknown benchmark B99: choose from B1' in capsys.readouterr().err


def test_scaling_writes_what_it_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, 'SERIES', {'classes': ((3, 5), scaling.classes), 'bank': ((50, 90), scaling.bank)})
    monkeypatch.setattr(scaling, 'memory', lambda: dict(values=[10, 20], megabytes=[1., 1.]))
    monkeypatch.setattr(sys, 'argv', ['scaling.py', '--only', 'classes', 'bank', 'clips in the store', '--repeats', '1',
                                      '--out', str(tmp_path)])
    scaling.main()
    content = json.loads((tmp_path / 'scaling.json').read_text())
    assert [*content['series']] == ['classes', 'bank', 'clips in the store']
    assert all('--repeats 1' in series['command'] for series in content['series'].values())
    for name in ('classes', 'bank'):
        assert len(content['series'][name]['seconds_a_sample']) == 2
        assert min(content['series'][name]['seconds_a_sample']) > 0
    assert (tmp_path / 'scaling.png').read_bytes().startswith(b'\x89PNG')
    monkeypatch.setattr(sys, 'argv', ['scaling.py', '--only', 'bank', '--repeats', '2', '--out', str(tmp_path)])
    scaling.main()
    again = json.loads((tmp_path / 'scaling.json').read_text())['series']
    assert again['classes'] == content['series']['classes'] and '--repeats 2' in again['bank']['command']


@pytest.mark.slow
def test_the_gpu_script_runs_small_on_a_cpu(tmp_path, monkeypatch, capsys):
    out, narrow, peaks = tmp_path / 'gpu.json', gpu_step.config, gpu_step.device_peaks
    monkeypatch.setattr(gpu_step, 'device_peaks', lambda device: peaks(device, 256))
    monkeypatch.setattr(gpu_step, 'config', lambda: narrow(hidden=4, out_channels=16, queue=64, topk=24))
    monkeypatch.setattr(gpu_step, 'check', lambda: actclr.check(batch=2, frames=8, hidden=4, out_channels=16))
    monkeypatch.setattr(sys, 'argv', ['gpu_step.py', '--device', 'cpu', '--batch', '4', '--out', str(out)])
    gpu_step.main()
    content = json.loads(out.read_text())
    arms = {row['arm']: row for row in content['results']}
    assert [*arms] == ['plain', 'fp32', 'bf16', 'host', 'resident'] and content['parity'] <= 1e-10
    assert arms['plain']['ratio'] == 1 and all(row['samples_per_s'] > 0 for row in arms.values())
    assert '--batch 4' in content['command'] and 'resident' in capsys.readouterr().out


@pytest.mark.slow
def test_processes_are_real_trainings():
    made = scaling.processes((2,), epochs=1, batch=8, clips=48, model={'backbone.hidden_channels': 4, 'queue_size': 64})
    assert made['values'] == [2] and 0 < made['seconds_a_sample'][0] < 10


def test_peak_memory_is_seen_after_more_was_freed():
    for size in (64, 16):  # MiB; the second one fits into the memory that the first one freed
        assert size * .9 < measure.peak_memory(lambda size=size: torch.ones(size << 18)) < size * 1.5
    parts = [torch.ones(1 << 14) for _ in range(512)]  # 32 MiB in pieces that the allocator keeps
    del parts
    assert 8 < measure.peak_memory(lambda: [torch.ones(1 << 14) for _ in range(256)]) < 32
