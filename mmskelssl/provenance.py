"""The command, the versions and the machine that produced a result."""
import datetime
import os
import os.path as osp
import platform
import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

import mmskelssl
from mmskelssl.errors import printable

MAX_COMMAND = 2000  # characters of a command that a checkpoint keeps
_SECRET = re.compile(r'((?:.*[.-])?(?:(?:api|auth|access)[_-]?)?(?:api_?key|token|secret|password)=).+', re.I | re.S)
_FOLDERS = re.compile(r'(?<![^\s=:,\'"\[(])(?:~|\.\.?)?/(?:[^\s/=:,\'"]+/)+')


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect results."""
    found = {'mmskelssl': mmskelssl.__version__, 'python': platform.python_version(), 'torch': torch.__version__}
    for package in ('mmengine', 'mmcv-lite', 'mmcv', 'numpy', 'scikit-learn'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """Return a description of this machine."""
    return dict(system=platform.platform(terse=True), processor=platform.machine(), cores=os.cpu_count(),
                threads=torch.get_num_threads(),
                gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None)


def now() -> str:
    """Return the time of day, such as ``2026-03-01 12:30 UTC``."""
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')


def command_line() -> str:
    """Return the command line of this process as a user would type it, without the values of passwords and tokens."""
    program, *arguments = (_SECRET.sub(r'\1***', argument) for argument in sys.argv)
    if osp.basename(program) == 'mmskelssl' or program.endswith(osp.join('mmskelssl', '__main__.py')):
        return shlex.join(['mmskelssl', *arguments])
    return shlex.join(['python', program, *arguments])


def short_command() -> str:
    """Return :func:`command_line` on one line of at most :data:`MAX_COMMAND` characters."""
    text = printable(command_line())
    return text if len(text) <= MAX_COMMAND else f'{text[:MAX_COMMAND - 1]}…'


def without_folders(command: str) -> str:
    """Return a command whose paths are reduced to their last names: what is published should not name a user."""
    return _FOLDERS.sub('…/', command)
