"""Finding plug-ins: packages of a user's own that nothing installs."""
import importlib
import os.path as osp
import sys
from collections.abc import Sequence

from mmskelssl.errors import UserError


def look_beside(path: str) -> None:
    """Let Python find the modules that lie beside a file, as it does beside a script.

    Last on ``sys.path``: nothing there can hide what is installed.
    """
    folder = osp.dirname(osp.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)


def import_plugins(names: Sequence[str]) -> None:
    """Import plug-ins, which registers their types.

    Args:
        names: Modules (``skelplug``), or paths of packages and files (``examples/plugin/skelplug``, ``mine.py``).
    """
    for name in names:
        module = name
        if osp.exists(name) and (osp.sep in name or name.endswith('.py')):
            look_beside(osp.abspath(name))
            module = osp.splitext(osp.basename(osp.abspath(name)))[0]
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise UserError(f'cannot import {name}: {error}; give the path of its folder or file, install it, or set '
                            'PYTHONPATH') from error
        if module != name and not _lies_at(found, name):
            raise UserError(f'{name}: another module is called {module!r} '
                            f'({getattr(found, "__file__", "built in")}): rename yours')


def _lies_at(module, path: str) -> bool:
    file = getattr(module, '__file__', None) or ''
    return bool(file) and osp.realpath(path) in (osp.realpath(file), osp.dirname(osp.realpath(file)))
