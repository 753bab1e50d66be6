"""Each command has one parser for the console script and the tool, and its help imports nothing heavy."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmskelssl import cli
from mmskelssl.datasets.importers import IMPORTERS
from mmskelssl.evaluation.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
DOORS = {path.relative_to(ROOT).as_posix(): text.split("script('")[1].split("'")[0]
         for path in sorted((ROOT / 'tools').rglob('*.py')) if "script('" in (text := path.read_text())}
HEAVY = {'torch', 'mmengine', 'mmcv', 'cv2', 'scipy', 'sklearn', 'matplotlib', 'pandas'}


def test_help_and_import_load_nothing_heavy():
    """Run all commands in one fresh process and compare imported modules, because seconds depend on the machine."""
    code = ('import json, sys\n'
            'import mmskelssl\n'
            'found = {"import mmskelssl": sorted(sys.modules)}\n'
            'from mmskelssl import cli\n'
            'for name in cli.COMMANDS:\n'
            '    cli.make_parser(name).format_help()\n'
            '    found[name] = sorted(sys.modules)\n'
            'print(json.dumps(found))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120, check=True,
                          cwd=ROOT)
    found = json.loads(done.stdout)
    assert set(found) == {'import mmskelssl', *cli.COMMANDS}
    assert {name: sorted(HEAVY & {module.partition('.')[0] for module in modules})
            for name, modules in found.items()} == dict.fromkeys(found, [])
    assert len(found['import mmskelssl']) < 100


def test_clips_are_drawn_without_torch(tiny_kinect_store, tmp_path):
    """Importing it takes longer than drawing."""
    code = ('import sys\n'
            'from mmskelssl import cli\n'
            'cli.main(sys.argv[1:])\n'
            'assert not {"torch", "mmengine"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code, 'browse', tiny_kinect_store, '--contact-sheet', '--format', 'png',
                    '--out', str(tmp_path)], check=True, cwd=ROOT, timeout=120)
    assert (tmp_path / 'contact_sheet.png').is_file()


@pytest.mark.parametrize('command', cli.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, '--help'])
    out = capsys.readouterr().out
    assert end.value.code == 0 and out.startswith(f'usage: mmskelssl {command} ')
    parser = cli.make_parser(command)
    assert [action.dest for action in parser._actions
            if action.option_strings and not (action.help or action.choices)] == []


def test_the_table_is_complete():
    """Every module of a command has an entry in the table, and the list of commands shows it."""
    doors = {path.stem for path in (ROOT / 'mmskelssl/commands').glob('*.py')
             if 'def add_arguments(parser' in path.read_text()}
    assert doors == set(cli.COMMANDS) | {'split', 'subset', 'relabel', 'convert_store'}  # which only `prepare` has


def test_the_list_of_commands(capsys):
    for arguments in (['--help'], ['-h']):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        out = capsys.readouterr().out
        assert end.value.code == 0 and all(f'\n  {name} ' in out for name in cli.COMMANDS)


@pytest.mark.parametrize('arguments, message', [
    (['evalaute'], "unknown command 'evalaute'; did you mean evaluate?"), ([], 'COMMAND'),
    (['train'], 'required: config'), (['stats', 'a', '--plott', 'x'], 'unrecognized arguments')])
def test_mistakes(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize('path', DOORS)
def test_a_script_is_the_same_command(path, capsys, monkeypatch):
    """The options are the same, and the examples name the script."""
    monkeypatch.setattr(sys, 'argv', [path, '--help'])
    with pytest.raises(SystemExit):
        cli.script(DOORS[path], path)()
    script = capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([DOORS[path], '--help'])
    command = capsys.readouterr().out
    assert f'  python {path} ' in script and 'mmskelssl' not in script.partition('Example')[2].partition('\n\n')[0]

    def options(text):
        return sorted({word.strip(',[]') for word in text.split() if word.lstrip('[').startswith('--')})
    assert options(script) == options(command)


def test_the_scripts_of_today_are_there():
    without = {'verify', 'repair', 'stats', 'merge', 'configs', 'detect', 'doctor', 'fit', 'predict', 'report',
               'save'}
    assert set(DOORS.values()) == set(cli.COMMANDS) - without
    for name in ('train', 'test', 'evaluate', 'benchmark', 'prepare_data', 'extract_features', 'analysis/attention',
                 'analysis/browse_dataset', 'analysis/convert_checkpoint', 'analysis/export_weights',
                 'analysis/plot_curves'):
        assert f'tools/{name}.py' in DOORS and len((ROOT / f'tools/{name}.py').read_text().splitlines()) < 10


def test_help_is_built_from_the_registries(capsys):
    with pytest.raises(SystemExit):
        cli.main(['evaluate', '--help'])
    text = capsys.readouterr().out
    for name, protocol in PROTOCOLS.items():
        assert f'\n  {name} ' in text and f'recipes: {" ".join(protocol.RECIPES)} ' in ' '.join(text.split())
    with pytest.raises(SystemExit):
        cli.main(['prepare', '--help'])
    text = capsys.readouterr().out
    assert all(f'\n    {name} ' in text for name in IMPORTERS)


def test_stores_are_looked_after_by_both_names(tiny_store, tmp_path, capsys):
    for prefix in ([], ['prepare']):
        cli.main([*prefix, 'verify', tiny_store])
        assert capsys.readouterr().out == 'no fault found\n'
        cli.main([*prefix, 'stats', tiny_store])
        assert 'splits: train 32, test 16' in capsys.readouterr().out
    cli.main(['repair', tiny_store, '--out', str(tmp_path / 'repaired')])
    assert 'imported 48' in capsys.readouterr().out


def test_numbers_of_a_key(capsys):
    """--cfg-options works as in OpenMMLab's tools, and text that is not KEY=VALUE is a usage error."""
    parser = cli.make_parser('train')
    args = parser.parse_args(['c.py', '--cfg-options', 'a.b=1', 'c=(1,2)', 'd=x=y'])
    assert args.cfg_options == {'a.b': 1, 'c': (1, 2), 'd': 'x=y'} and args.seed is None
    for wrong in ('a', '=1', 'a=(1,2'):
        with pytest.raises(SystemExit) as end:
            parser.parse_args(['c.py', '--cfg-options', wrong])
        assert end.value.code == 2 and '--cfg-options' in capsys.readouterr().err


def test_export_does_not_guess_a_format(capsys):
    with pytest.raises(SystemExit):
        cli.main(['export', 'unused', 'encoder.onx'])
    assert 'encoder.onx: the suffix must be .safetensors, .onnx or .pt2' in capsys.readouterr().err
