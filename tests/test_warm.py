"""The ``python`` that starts at once behaves as the one that it stands in for."""
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow  # the server takes seconds to start


def start(warm_python, *arguments, **options):
    return subprocess.Popen([str(warm_python / 'python'), *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def test_it_is_given_what_python_is_given(warm_python, tmp_path):
    """Arguments, streams, environment and folder; and what it imports was there before."""
    (tmp_path / 'beside.py').write_text('NAME = "beside"')
    (tmp_path / 'script.py').write_text(
        'import os, sys, beside\nprint(sys.argv[1:], sys.stdin.read(), os.getcwd(), os.environ["MINE"], __name__, '
        'beside.NAME, "torch" in sys.modules, "PATH" in os.environ)\nsys.exit("a reason")')
    done = subprocess.run([warm_python / 'python', 'script.py', '--a', 'b c'], input='hello', text=True,
                          capture_output=True, cwd=tmp_path, env=dict(MINE='x'))
    assert done.returncode == 1 and done.stderr == 'a reason\n'
    assert done.stdout == f"['--a', 'b c'] hello {tmp_path} x __main__ beside True False\n"


@pytest.mark.parametrize('arguments', [['-c', 'import sys; sys.exit(int(sys.argv[1]))', '7'], ['-c', '1 / 0'],
                                       ['-m', 'json.tool', '--help'], ['-u', '-m', 'json.tool', 'nowhere.json']])
def test_it_ends_alike(warm_python, arguments):
    real, warm = (subprocess.run([python, *arguments], capture_output=True, text=True)
                  for python in (sys.executable, str(warm_python / 'python')))
    assert warm.returncode == real.returncode
    assert warm.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


def test_signals_arrive_and_a_death_is_passed_on(warm_python):
    waits = ('import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n'
             'print("ready", flush=True)\ntime.sleep(60)')
    process = start(warm_python, '-c', waits)
    assert process.stdout.readline() == 'ready\n'
    process.terminate()
    assert process.wait(30) == 3
    for number in (signal.SIGKILL, signal.SIGSEGV):
        assert start(warm_python, '-c', f'import os; os.kill(os.getpid(), {number:d})').wait(30) == -number


def test_whoever_kills_it_kills_its_processes(warm_python):
    forks = ('import os, time\nchild = os.fork()\nif child:\n    print(os.getpid(), child, flush=True)\n'
             'time.sleep(60)')
    process = start(warm_python, '-c', forks)
    made = [int(number) for number in process.stdout.readline().split()]
    process.kill()
    end = time.monotonic() + 30
    while any(os.path.exists(f'/proc/{number}') for number in made):
        assert time.monotonic() < end
        time.sleep(.01)
