"""The versions and the machine that produced a result."""
import os
import os.path as osp
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

import mmskelssl


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


def command_line() -> str:
    """Return the command line of this process as a user would type it."""
    program, *arguments = sys.argv
    if osp.basename(program) == 'mmskelssl' or program.endswith(osp.join('mmskelssl', '__main__.py')):
        return shlex.join(['mmskelssl', *arguments])
    return shlex.join(['python', program, *arguments])
