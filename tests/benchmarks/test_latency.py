"""The latency benchmark times answers of real streams."""
import json
import types

import pytest

from benchmarks import latency


@pytest.mark.parametrize('way', ['SimCLR, three streams', 'CRRL, joint'])
def test_each_answer_is_timed(way):
    made = latency.answer_times(way, 3)
    assert len(made['milliseconds']) == 3 and all(0 < spent < 60_000 for spent in made['milliseconds'])


def test_percentiles_come_from_the_process(monkeypatch):
    spent = [*range(1, 101)][::-1]
    monkeypatch.setattr(latency.subprocess, 'run', lambda command, env, **options: types.SimpleNamespace(
        stdout='noise\n' + json.dumps(dict(milliseconds=spent, threads=int(env['OMP_NUM_THREADS'])))))
    made = latency.measure('CRRL, joint', 2, 100)
    assert (made['p50'], made['p99'], made['worst'], made['threads']) == (50.5, 99, 100, 2)
    assert latency.row(made) == ['CRRL, joint', '2', '50.5', '99.0']
