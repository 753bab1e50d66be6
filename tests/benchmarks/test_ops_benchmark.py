"""Each fast path is measured, and the script writes what it prints."""
import json
import sys
from pathlib import Path

import pytest

from benchmarks import ops, results_file

ROOT = Path(__file__).parents[2]


def test_every_fast_path_is_measured():
    # exported_gru calls the plain GRU in an exported model, and is not a fast path.
    files = {path.stem for path in (ROOT / 'mmskelssl/ops').glob('*.py') if 'def plain_' in path.read_text()}
    assert len(files) > 5 and files == {op.split('.')[0] for op in ops.OPS}


def test_the_script_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['ops.py', '--only', 'selection', 'neighbours.small', '--quick', '--out',
                                      str(tmp_path / 'ops.json')])
    ops.main()
    content = json.loads((tmp_path / 'ops.json').read_text())
    assert [result['id'] for result in content['results']] == ['selection', 'neighbours.small']
    assert all(result['ratio'] > 0 and result['pairs'] == 2 for result in content['results'])
    assert all('--quick' in result['command'] for result in content['results']) and content['machine']['cpu']
    printed = capsys.readouterr().out
    assert f'{content["results"][0]["ratio"]:.2f}' in printed
    assert results_file.markdown(ops.COLUMNS, map(ops.row, content['results'])).count('\n') == 4
    monkeypatch.setattr(sys, 'argv', ['ops.py', '--only', 'neighbours.small', '--pairs', '3', '--out',
                                      str(tmp_path / 'ops.json')])
    ops.main()
    first, second = json.loads((tmp_path / 'ops.json').read_text())['results']
    assert first == content['results'][0] and '--pairs 3' in second['command'] and second['pairs'] == 3


def test_unknown_ids_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['ops.py', '--only', 'conv'])
    with pytest.raises(SystemExit):
        ops.main()
    assert 'unknown op conv: choose from temporal_conv.16' in capsys.readouterr().err
