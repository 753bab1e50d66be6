"""The code of the notebooks runs in order, on few clips for one epoch. Their outputs name no folder of a machine."""
import json
import re

import matplotlib.pyplot as plt
import pytest
from doc_commands import ROOT

NOTEBOOKS = sorted(path.stem for path in (ROOT / 'docs' / 'notebooks').glob('*.ipynb'))
METHODS = {'own_data': 'SimCLR', 'quickstart': 'SkeletonCLR'}
SHORT = {'CLIPS': 160, 'EPOCHS': 1}


def read(name: str) -> dict:
    return json.loads((ROOT / 'docs' / 'notebooks' / f'{name}.ipynb').read_text(encoding='utf-8'))


@pytest.mark.slow
@pytest.mark.parametrize('name', NOTEBOOKS)
def test_the_code_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {'__name__': '__main__'}
    for cell in read(name)['cells']:
        if cell['cell_type'] != 'code':
            continue
        exec(compile(''.join(cell['source']), f'{name}.ipynb', 'exec'), names)
        if 'parameters' in cell['metadata'].get('tags', ()):
            names |= {key: value for key, value in SHORT.items() if key in names}
    plt.close('all')
    assert names['checkpoint'].endswith('epoch_1.pth')
    assert {row['encoder'] for row in names['rows']} == {'untrained', METHODS[name]}
    assert [path.name for path in tmp_path.iterdir()] == ['work_dirs']


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_outputs_are_complete_and_of_no_machine(name):
    cells = [cell for cell in read(name)['cells'] if cell['cell_type'] == 'code']
    assert [cell['execution_count'] for cell in cells] == list(range(1, len(cells) + 1))
    text = json.dumps([cell['outputs'] for cell in cells])
    assert '"error"' not in text and not re.search(r'/(home|root|tmp|Users|work|usr|opt)/', text)
