"""Commands in documents, and functions that run them in tests."""
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT = 'train_cfg.max_epochs=1 model.backbone.hidden_channels=4 model.backbone.out_channels=16'
SHORT_CONVOLUTIONS = "train_cfg.max_epochs=1 train_dataloader.batch_size=8 'model.backbone.channels=(8,8,16,16)'"


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding='utf-8')


def commands(text: str) -> list[str]:
    """Return the lines of the bash blocks in order. A line that ends in a backslash continues in the next."""
    blocks = re.findall(r'```bash\n(.*?)```', text, re.S)
    return [line for block in blocks for line in re.sub(r'\\\n\s*', '', block).strip().splitlines()]


def shell(command: str, python: Path = Path(sys.prefix) / 'bin', **env) -> str:
    """Run a command with the ``python`` of a folder, and return its output."""
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=900, env={
        **os.environ, 'VENV': os.path.relpath(sys.prefix, ROOT), 'OMP_NUM_THREADS': '1',
        'PATH': f'{python}:{os.environ["PATH"]}', **env})
    assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}'
    return done.stdout


def call(command: str, monkeypatch) -> None:
    """Run a command ``python tools/NAME.py ...`` in this process, which saves the start of an interpreter."""
    python, script, *arguments = shlex.split(command)
    assert python == 'python'
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as error:
        assert not error.code, command


def run(command: str, monkeypatch, warm_python: Path) -> None:
    """Run a command, in this process if it is a script of tools/ that needs no process of its own.

    A plug-in registers its types in the whole process, so a command with one gets a process, and nothing on its path.
    """
    if command.startswith('python tools/') and 'examples/plugin' not in command:
        call(command, monkeypatch)
    elif command.startswith('python '):
        shell(command, warm_python, PYTHONPATH='')
    else:
        shell(command, PYTHONPATH='')


def shorten(command: str, place: Path) -> str:
    """Return the same command for the test's folders, for one epoch of a narrow network, and without pictures."""
    command = re.sub(r'epoch_\d+', 'epoch_1', command.replace('work_dirs/', f'{place}/'))
    if 'tools/prepare_data.py' in command:
        return command.replace('prepare_data.py toy', 'prepare_data.py toy --samples 48').replace('data/toy',
                                                                                                  f'{place}/again')
    if 'tools/evaluate.py' in command:
        command += ' --no-pictures'
    if re.search(r'tools/(dist_)?train', command):
        short = SHORT_CONVOLUTIONS if re.search('simclr|alignuniform', command) else SHORT
        options = '' if '--cfg-options' in command else '--cfg-options '
        store = '' if 'data.store' in command else f'data.store={place}/toy '
        return f'{command} {options}{store}{short}'
    return command.replace('data/toy', f'{place}/toy')
