"""What a number was made with: versions and machine."""
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

import mmskelssl


def versions() -> dict[str, str | None]:
    """Versions of what decides a number."""
    found = {'mmskelssl': mmskelssl.__version__, 'python': platform.python_version(), 'torch': torch.__version__}
    for package in ('mmengine', 'mmcv-lite', 'mmcv', 'numpy', 'scikit-learn'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """What it ran on."""
    return dict(system=platform.platform(terse=True), processor=platform.machine(), cores=os.cpu_count(),
                threads=torch.get_num_threads(),
                gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None)
