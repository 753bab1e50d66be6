"""The README's commands run as they stand, shortened to an epoch of a narrow network, and its tables are true."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.analysis.collect_results import fill

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
COMMANDS = [line for block in re.findall(r'```bash\n(.*?)```', README, re.S) for line in block.strip().splitlines()]
SHORT = 'train_cfg.max_epochs=1 model.backbone.hidden_channels=4 model.backbone.out_channels=16'


def shell(command: str, **env) -> str:
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=900, env={
        **os.environ, 'VENV': os.path.relpath(sys.prefix, ROOT), 'OMP_NUM_THREADS': '1',
        'PATH': f'{Path(sys.prefix) / "bin"}:{os.environ["PATH"]}', **env})
    assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('readme')


def shorten(command: str, place: Path) -> str:
    """The same command on the test's folders."""
    command = re.sub(r'epoch_\d+', 'epoch_1', command.replace('work_dirs/', f'{place}/'))
    if 'tools/prepare_data.py' in command:
        return command.replace('data/toy', f'{place}/again')
    if re.search(r'tools/(dist_)?train', command):
        return f'{command} --cfg-options data.store={place}/toy {SHORT}'
    return command.replace('data/toy', f'{place}/toy')


@pytest.mark.parametrize('command', COMMANDS)
def test_commands(command, place):
    if command == 'bash tools/quickstart.sh':
        for _ in range(2):  # idempotent
            out = shell(command, WORK_DIR=f'{place}/quick', DATA_DIR=f'{place}/toy', OPTIONS=SHORT)
        assert 'untrained' in out and 'AimCLR' in out
        results = json.loads((place / 'quick' / 'results.json').read_text())['results']
        assert {row['encoder'] for row in results} == {'untrained', 'AimCLR'}
        assert (place / 'quick' / 'curves.png').stat().st_size > 10_000
        assert (place / 'quick' / 'skeletons.png').stat().st_size > 10_000
    elif command == 'bash tools/run_tests.sh':
        assert 'test_readme.py' in shell(f'{command} --collect-only tests/docs')
    else:
        shell(shorten(command, place))


def test_the_main_commands_come_first():
    assert COMMANDS[:2] == ['bash tools/quickstart.sh', 'bash tools/run_tests.sh']


def test_tables_come_from_results_files():
    assert '| untrained |' in README and fill(README, str(ROOT)) == README


def test_old_python_is_refused(tmp_path):
    fake = tmp_path / 'python3'
    fake.write_text('#!/bin/sh\ncase "$*" in *--version*) echo "Python 3.8.1";; *) exit 1;; esac\n')
    fake.chmod(0o755)
    done = subprocess.run(['bash', 'tools/quickstart.sh'], cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, 'PYTHON': str(fake), 'VENV': str(tmp_path / 'venv')})
    assert done.returncode == 1 and 'Python 3.8.1 is too old' in done.stderr


def test_full_disk_is_refused(tmp_path):
    fake = tmp_path / 'df'
    fake.write_text('#!/bin/sh\nprintf "Filesystem 1024-blocks Used Available\\nx 100 99 1024\\n"\n')
    fake.chmod(0o755)
    done = subprocess.run(['bash', 'tools/run_tests.sh'], cwd=ROOT, capture_output=True, text=True, env={
        **os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'VENV': f'{tmp_path.name}-none'})
    assert done.returncode == 1 and 'only 1 MB free' in done.stderr


def test_no_network_is_said(tmp_path):
    venv = os.path.relpath(tmp_path / 'venv', ROOT)
    done = subprocess.run(['bash', 'tools/run_tests.sh'], cwd=ROOT, capture_output=True, text=True, env={
        **os.environ, 'VENV': venv, 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(tmp_path),
        'PIP_CONFIG_FILE': os.devnull})
    assert done.returncode == 1 and 'is there a network connection?' in done.stderr
