"""Processes that start at once, because they are forked from a server that has everything imported already.

``CONTEXT`` is for functions. :func:`folder_of_python` makes a ``python`` for command lines and scripts, which honours
arguments, environment, folder, streams, signals and exit status. It imports nothing of its own, so where the start
itself is tested, take ``sys.executable``.
"""
import atexit
import contextlib
import json
import multiprocessing
import os
import runpy
import select
import shlex
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from multiprocessing import process as current
from pathlib import Path

CONTEXT = multiprocessing.get_context('forkserver')
# There is one server in a process, and it imports what is listed when it starts. So the list is written once.
CONTEXT.set_forkserver_preload([
    'tests.conftest', 'tools.train', 'mmskelssl.models', 'mmskelssl.datasets.skeleton_dataset',
    'mmskelssl.engine.train', 'mmskelssl.evaluation.knn', 'mmskelssl.commands.evaluate', 'torch.utils.tensorboard',
    'torch._dynamo', 'torch.distributed.run', 'matplotlib.pyplot', 'matplotlib.backends.backend_agg', 'tqdm'])
ROOT = Path(__file__).resolve().parents[1]
SIZE = struct.Struct('I')
FORWARDED = ('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGHUP')

# Hands all that it was started with to the server, and ends as the process does that the server forks for it.
CLIENT = f'''
import json, os, signal, socket, sys
server, *arguments = sys.argv[1:]
link = socket.socket(socket.AF_UNIX)
link.connect(server)
request = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(link, [len(request).to_bytes({SIZE.size}, sys.byteorder)], [0, 1, 2])
link.sendall(request)
made = int.from_bytes(link.recv({SIZE.size}, socket.MSG_WAITALL), sys.byteorder)
for name in {FORWARDED}:
    signal.signal(getattr(signal, name), lambda number, _: os.kill(made, number))
status = os.waitstatus_to_exitcode(int.from_bytes(link.recv({SIZE.size}, socket.MSG_WAITALL), sys.byteorder))
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
'''


@contextlib.contextmanager
def folder_of_python(folder: Path):
    """Write an executable ``python`` into a folder, which works within the block."""
    address, python = folder / 'socket', folder / 'python'
    (folder / 'client.py').write_text(CLIENT)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(folder / "client.py"))} '
                      f'{shlex.quote(str(address))} "$@"\n')
    python.chmod(0o755)
    server = CONTEXT.Process(target=_serve, args=(str(address), str(python)))
    server.start()
    while not address.exists():
        assert server.is_alive(), 'the server has ended'
        time.sleep(.01)
    try:
        yield folder
    finally:
        server.kill()
        server.join()


def _serve(address: str, python: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f'{address}.bound')
    listener.listen(64)
    os.rename(f'{address}.bound', address)  # it appears when it accepts
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the processes end that look after a client
    tests = multiprocessing.parent_process().sentinel
    while tests not in select.select([listener, tests], [], [])[0]:  # until they end, however they do
        link, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            _look_after(link, python)
        link.close()


def _look_after(link: socket.socket, python: str) -> None:
    """Fork the process that a client asks for, and report how it ends. If the client is killed, kill it too."""
    size, files, _, _ = socket.recv_fds(link, SIZE.size, 3)
    request = json.loads(link.recv(*SIZE.unpack(size), socket.MSG_WAITALL))
    made = os.fork()
    if made == 0:
        link.close()
        _become(*request, files, python)
    for file in files:
        os.close(file)
    link.sendall(SIZE.pack(made))
    ended = os.pidfd_open(made)
    if ended not in select.select([link, ended], [], [])[0]:
        kill_family(made)
    status = os.waitpid(made, 0)[1]
    with contextlib.suppress(BrokenPipeError):
        link.sendall(SIZE.pack(status))
    os._exit(0)


def family(number: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    try:
        children = Path(f'/proc/{number}/task/{number}/children').read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return []
    return [number, *(one for child in children for one in family(int(child)))]


def kill_family(number: int) -> None:
    for one in family(number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _become(arguments: list[str], folder: str, environment: dict[str, str], files: list[int], python: str) -> None:
    """Go on as ``python ARGUMENTS`` would."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, buffering=1, closefd=False)
                                         for number, mode in enumerate('rww'))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.executable = python  # torchrun starts its processes with it
    main = multiprocessing.current_process()
    main._identity, main._name, main._parent_pid, current._parent_process = (), 'MainProcess', None, None
    added = environment.get('PYTHONPATH')
    own = Path(sys.prefix)  # which may lie in the checkout
    sys.path[:] = [*(added.split(os.pathsep) if added else []), *(path for path in sys.path if path and (
        Path(path).is_relative_to(own) or not Path(path).is_relative_to(ROOT)))]
    quicken()
    status = 1
    try:
        _execute(arguments)
        status = 0
    except SystemExit as end:
        status = end.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 255)


def _execute(arguments: list[str]) -> None:
    if arguments[0] == '-u':
        arguments = arguments[1:]
    what, *rest = arguments
    if what == '-m':
        sys.path.insert(0, os.getcwd())
        sys.argv = rest
        runpy.run_module(rest[0], run_name='__main__', alter_sys=True)
    elif what == '-c':
        sys.path.insert(0, '')
        sys.argv = ['-c', *rest[1:]]
        exec(compile(rest[0], '<string>', 'exec'), dict(__name__='__main__'))
    else:
        sys.path.insert(0, str(Path(what).resolve().parent))
        sys.argv = arguments
        runpy.run_path(what, run_name='__main__')


def quicken() -> None:
    """Skip what takes most of the time of a short run in mmengine: formatting the config, looking for compilers."""
    from mmengine.config import config
    from mmengine.runner import runner
    config.FormatCode = lambda text, **_: (text, False)
    runner.collect_env = dict
