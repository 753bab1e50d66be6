"""Seeds that a generator of random numbers does not take are refused by every command, before it does anything."""
import pytest

from mmskelssl import cli
from mmskelssl.commands.measure import evaluate_checkpoints
from mmskelssl.errors import UserError
from mmskelssl.inference.fit import fit_classifier
from mmskelssl.models.checks import check_seed

COMMANDS = [['evaluate', 'cluster', 'x.pth'], ['fit', 'x.pth', '--data', 'x', '--out', 'y'], ['report', 'x'],
            ['browse', 'x'], ['prepare', 'split', 'x', '--share', '0.5'], ['prepare', 'toy', '--out', 'x'],
            ['prepare', 'subset', 'x', '--out', 'y']]


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
@pytest.mark.parametrize('seed', ['-1', '4294967296'])
def test_on_the_command_line(command, seed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, f'--seed={seed}'])
    assert stopped.value.code == 2 and not [*tmp_path.iterdir()]
    assert f'{seed} is not an integer from 0 to 4294967295' in capsys.readouterr().err


@pytest.mark.parametrize('seed', [-1, 1 << 32, True, 1.])
def test_in_python(seed, tiny_store, tmp_path):
    with pytest.raises(UserError, match='--seed is .*; it must be an integer from 0 to 4294967295'):
        evaluate_checkpoints([], ['knn'], str(tmp_path / 'out'), seed=seed)
    with pytest.raises(UserError, match='--seed is .*; it must be an integer from 0 to 4294967295'):
        fit_classifier([], tiny_store, seed=seed)
    check_seed('--seed', (1 << 32) - 1)
