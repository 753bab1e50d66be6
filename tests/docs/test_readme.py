"""The README's commands run as written, but for one epoch of a narrow network, and its tables are up to date."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_commands import ROOT, SHORT, commands, read, run, shell, shorten

from mmskelssl.datasets.toy.store import write_toy_store
from tools.analysis.collect_results import fill

README = read('README.md')
COMMANDS = commands(README)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('readme')
    write_toy_store(folder / 'toy', num_samples=128, seed=1, subjects=4)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('command', COMMANDS)
def test_commands(command, place, monkeypatch, warm_python):
    if command == 'bash tools/quickstart.sh':
        given = dict(WORK_DIR=f'{place}/quick', DATA_DIR=f'{place}/quick_toy', OPTIONS=SHORT,
                     TOY_OPTIONS='--samples 128')
        shell(command, **given)
        (place / 'venv').mkdir()  # idempotent: again in an environment whose python starts at once
        (place / 'venv' / 'bin').symlink_to(warm_python)
        shutil.copy(Path(sys.prefix) / '.mmskelssl-tests', place / 'venv')
        out = shell(command, **given, VENV=os.path.relpath(place / 'venv', ROOT))
        assert 'untrained' in out and 'AimCLR' in out
        results = json.loads((place / 'quick' / 'results.json').read_text())['results']
        assert {row['encoder'] for row in results} == {'untrained', 'AimCLR'}
        assert (place / 'quick' / 'curves.png').stat().st_size > 10_000
        assert (place / 'quick' / 'contact_sheet.png').stat().st_size > 10_000
        assert f'{place}/quick/report.html' in out and (place / 'quick' / 'report.html').stat().st_size > 1_000_000
    elif command == 'bash tools/run_tests.sh':
        assert 'test_readme.py' in shell(f'{command} --collect-only tests/docs')
    else:
        run(shorten(command, place), monkeypatch, warm_python)


def test_the_main_commands_come_first():
    assert COMMANDS[:2] == ['bash tools/quickstart.sh', 'bash tools/run_tests.sh']


def test_tables_come_from_results_files():
    assert '| untrained, joint |' in README and fill(README, str(ROOT)) == README


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


@pytest.mark.slow
def test_no_network_is_said(tmp_path):
    venv = os.path.relpath(tmp_path / 'venv', ROOT)
    done = subprocess.run(['bash', 'tools/run_tests.sh'], cwd=ROOT, capture_output=True, text=True, env={
        **os.environ, 'VENV': venv, 'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(tmp_path),
        'PIP_CONFIG_FILE': os.devnull})
    assert done.returncode == 1 and 'is there a network connection?' in done.stderr
