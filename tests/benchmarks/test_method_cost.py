"""The cost of the methods: real steps of every stage, and a picture of the committed results."""
import json
import sys

import pytest

from benchmarks import method_cost


def test_steps_and_minutes_of_every_stage(tiny_store, tmp_path, monkeypatch):
    (tmp_path / 'configs').mkdir()
    stages = "stages = [dict(name='mamp', config='mampmasked_nwucla.py', carry=['backbone.']), dict(name='nn_tuning')]"
    for name, more in (('mampmasked', ''), ('mamp', stages)):
        (tmp_path / f'configs/{name}_nwucla.py').write_text(
            f"_base_ = '{method_cost.ROOT}/configs/{name}_toy.py'\ntrain_dataloader = dict(batch_size=8)\n"
            f"model = dict(backbone=dict(channels=16, heads=2, depth=3))\n{more}\n")
    monkeypatch.setattr(method_cost, 'ROOT', tmp_path)
    seen = []
    monkeypatch.setattr(method_cost, 'seconds', lambda step: (seen.append(step()), 3.)[1])
    made = method_cost.measure('mamp', str(tiny_store), 2)
    assert method_cost.title(made) == 'MAMP, NNTuning' and made['encoder'] == 'SkeletonViT'
    assert len(seen) == 6 and all('loss' in losses for losses in seen)
    steps = [stage['steps'] for stage in made['stages']]
    assert made['minutes'] == sum(steps) * 3 / 60 and min(steps) > 0


def test_the_picture_shows_the_committed_results(tmp_path):
    top1 = method_cost.accuracies()
    assert 'untrained TemporalConvNet' in top1 and top1['SimCLR'] > top1['untrained TemporalConvNet']
    results = json.loads((method_cost.RESULTS / 'performance/method_cost.json').read_text())['results']
    assert [result['id'] for result in results] == method_cost.METHODS
    shown = {result['stages'][-1]['method'] for result in results} & top1.keys()
    assert {'SimCLR', 'ActCLR', 'SkeAttnCLR', 'CRRL', 'BYOL', 'NNTuning'} <= shown
    method_cost.draw(results, str(tmp_path / 'cost.png'))
    assert (tmp_path / 'cost.png').stat().st_size > 10_000


@pytest.mark.parametrize('argv, message', [
    ([], 'give either --data'), (['--data', 'a', '--draw', 'b.png'], 'give either --data'),
    (['--data', 'a', '--only', 'byol', '--out', 'c'], '--out needs all methods')])
def test_refused(argv, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['method_cost.py', *argv])
    with pytest.raises(SystemExit):
        method_cost.main()
    assert message in capsys.readouterr().err
