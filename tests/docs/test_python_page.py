"""The examples of docs/python.md run as they stand, in order."""
import re
from pathlib import Path

import pytest

import mmskelssl

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'python.md'


def test_every_function_has_an_example():
    code = '\n'.join(re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S))
    shown = set(re.findall(r'mmskelssl\.(\w+)\(', code))
    assert set(mmskelssl.__all__) - shown == {'SkeletonClassifier', 'SkeletonStream'}  # docs/predict.md has examples


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), 'exec'), names)
    assert names['checkpoint'] == 'work_dirs/simclr/epoch_1.pth'
    assert {row['encoder'] for row in names['rows']} == {'untrained', 'SimCLR'}
    assert names['checkpoint'] in capsys.readouterr().out.splitlines()
