"""The benchmark of the encoders builds each of them, and writes what its table shows."""
import sys

import pytest

from benchmarks import encoders
from benchmarks.results_file import markdown, read


@pytest.mark.parametrize('name', [name for name in encoders.ENCODERS if name != 'SkeletonViT base'])
def test_each_encoder_is_measured_on_the_same_clips(name, monkeypatch):
    seen = []
    monkeypatch.setattr(encoders, 'seconds', lambda function: (seen.append(function()), 2.)[1])
    made = encoders.measure(name, 2, 1)
    assert made['step_s'] == made['feature_s'] == 1 and made['parameters'] > 10_000
    assert len(seen) == 4 and len(seen[-1]) == 2  # features of two clips


def test_the_file_and_its_table(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'encoders.json'
    times = dict(zip(encoders.ENCODERS, range(1, 9), strict=False))
    monkeypatch.setattr(encoders, 'measure', lambda name, count, repeats: dict(
        id=name, parameters=1000, clips=count, step_s=.001 * times[name], feature_s=.001))
    monkeypatch.setattr(sys, 'argv', ['encoders.py', '--out', str(out)])
    encoders.main()
    content = read(str(out))
    assert [result['ratio'] for result in content['results']] == [1, 2, 3, 4, 5, 6] and content['machine']
    table = markdown(encoders.COLUMNS, map(encoders.row, content['results']))
    assert '| STGCN | 1,000 | 3 | 1 | 3 |' in table and 'STGCN | 1,000 | 3 | 1 | 3' in capsys.readouterr().out
