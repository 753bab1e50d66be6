"""Errors that the user can fix end a command with one line. Others print a traceback."""
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmskelssl.errors import UserError, explain, one_line_errors

ROOT = Path(__file__).resolve().parents[1]


def missing(name: str, text: str | None = None) -> ImportError:
    return ModuleNotFoundError(text or f'No module named {name!r}', name=name)


@pytest.mark.parametrize('error, status, line', [
    (UserError('a: b'), 2, 'error: a: b'), (KeyboardInterrupt(), 130, 'interrupted'),
    (OSError(errno.ENOSPC, 'No space left on device'), 1,
     'error: the output cannot be written: No space left on device'),
    (missing('sklearn.cluster'), 1, 'error: the package sklearn is missing: pip install scikit-learn'),
    (missing('onnx'), 1, 'error: the package onnx is missing: pip install onnx'),
    (ImportError('libtiff.so.5: cannot open shared object file: No such file or directory'), 1,
     'error: the system library libtiff.so.5 is missing')])
def test_one_line(error, status, line, capsys):
    @one_line_errors
    def main():
        raise error
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == status and capsys.readouterr().err == f'{line}\n'


def test_a_missing_libgl_has_two_cures():
    error = ImportError('libGL.so.1: cannot open shared object file: No such file or directory')
    text, status = explain(error)
    assert status == 1 and 'opencv-python-headless' in text and 'apt-get install libgl1' in text


@pytest.mark.parametrize('error', [
    RuntimeError('fault'), missing('mmskelssl.none'), ImportError("cannot import name 'x' from 'mmskelssl'", name='a'),
    FileNotFoundError(errno.ENOENT, 'No such file'), BrokenPipeError(errno.EPIPE, 'a worker has died')])
def test_a_fault_of_the_program_is_a_traceback(error):
    @one_line_errors
    def main():
        raise error
    with pytest.raises(type(error)):
        main()


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv('MMSKELSSL_DEBUG', '1')

    @one_line_errors
    def main():
        raise UserError('x')
    with pytest.raises(UserError):
        main()


def test_results_and_exit_statuses_pass():
    assert one_line_errors(lambda: 3)() == 3
    with pytest.raises(SystemExit, match='4'):
        one_line_errors(lambda: sys.exit(4))()


@pytest.mark.parametrize('unbuffered', ['', '1'])
@pytest.mark.parametrize('arguments', [['prepare', '--help'], ['configs', 'aimclr_toy']])
def test_a_closed_pipe(arguments, unbuffered):
    """The reader exits before the first line: one line, and no error while Python shuts down."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, '-m', 'mmskelssl', *arguments], stdout=writer, stderr=subprocess.PIPE,
                          text=True, cwd=ROOT, timeout=60, env={**os.environ, 'PYTHONUNBUFFERED': unbuffered})
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, 'stopped: the reader of the output has closed it\n')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='Linux only')
@pytest.mark.parametrize('unbuffered', ['', '1'])
def test_a_full_disk(unbuffered):
    with open('/dev/full', 'w') as full:
        done = subprocess.run([sys.executable, '-m', 'mmskelssl', 'prepare', '--help'], stdout=full,
                              stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60,
                              env={**os.environ, 'PYTHONUNBUFFERED': unbuffered})
    assert done.returncode == 1
    assert done.stderr == 'error: the output cannot be written: No space left on device\n'


LOGS = ("import logging, sys\n"
        "from mmskelssl.errors import log_without_console, one_line_errors\n"
        "log_without_console()\n"
        "log = logging.getLogger('x')\n"
        "log.setLevel('INFO')\n"
        "log.addHandler(logging.StreamHandler(sys.stdout))\n"
        "log.addHandler(logging.FileHandler(sys.argv[1]))\n"
        "one_line_errors(lambda: [log.info(f'line {i}') for i in range(5)])()\n")


@pytest.mark.parametrize('kind', ['pipe', 'full'])
def test_a_run_outlives_its_console(kind, tmp_path):
    """One line reports it, and the file contains the whole log."""
    if kind == 'pipe':
        reader, output = os.pipe()
        os.close(reader)
    else:
        output = os.open('/dev/full', os.O_WRONLY)
    done = subprocess.run([sys.executable, '-c', LOGS, str(tmp_path / 'log')], stdout=output, stderr=subprocess.PIPE,
                          text=True, cwd=ROOT, timeout=60)
    os.close(output)
    reason = 'Broken pipe' if kind == 'pipe' else 'No space left on device'
    assert done.stderr == f'note: the output cannot be written ({reason}); the log goes on in its file\n'
    assert done.returncode == 0 and (tmp_path / 'log').read_text().splitlines() == [f'line {i}' for i in range(5)]
