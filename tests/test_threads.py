"""Waiting threads go to sleep early, unless the user has configured how they wait."""
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mmskelssl import cli, threads

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clean(monkeypatch):
    for name in threads._USERS_OWN:
        monkeypatch.setenv(name, '')  # so that it is restored
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_default(clean):
    threads.limit_spinning()
    assert os.environ['GOMP_SPINCOUNT'] == str(threads.SPINS)


@pytest.mark.parametrize('name, value', [('GOMP_SPINCOUNT', '5'), ('OMP_WAIT_POLICY', 'ACTIVE')])
def test_the_users_own_stays(name, value, clean):
    clean.setenv(name, value)
    threads.limit_spinning()
    assert {key: os.environ[key] for key in threads._USERS_OWN if key in os.environ} == {name: value}


@pytest.mark.parametrize('door', ['command', *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / 'tools').rglob('*.py')
    if path.name not in ('__init__.py', 'collect_results.py', 'report_pictures.py'))])  # these never need torch
def test_every_door_sets_it(door, clean):
    """The limit is set before arguments are parsed and thus before torch is imported."""
    if door == 'command':
        with pytest.raises(SystemExit):
            cli.main(['train', '--help'])
    else:
        clean.setattr(sys, 'argv', [door, '--help'])
        with pytest.raises(SystemExit):
            runpy.run_path(str(ROOT / door), run_name='__main__')
    # The quick start is made for a quiet machine, and chooses the number of threads.
    expected = 10_000 if door == 'tools/quickstart.py' else threads.SPINS
    assert os.environ.get('GOMP_SPINCOUNT') == str(expected)


STEP = ("from mmskelssl.threads import limit_spinning; limit_spinning()\n"
        "import hashlib, torch\n"
        "torch.manual_seed(0); torch.set_num_threads(2)\n"
        "net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.Conv2d(16, 8, 3))\n"
        "net(torch.randn(16, 3, 40, 40)).square().mean().backward()\n"
        "print(hashlib.sha256(b''.join(p.grad.numpy().tobytes() for p in net.parameters())).hexdigest())")


@pytest.mark.slow
def test_results_stay_the_same_to_the_bit():
    """Run with and without the limit."""
    def run(**env):
        env = {**{key: value for key, value in os.environ.items() if key not in threads._USERS_OWN}, **env}
        return subprocess.run([sys.executable, '-c', STEP], env=env, cwd=ROOT, capture_output=True, text=True,
                              check=True, timeout=200).stdout
    assert run() == run(GOMP_SPINCOUNT='300000') != ''
