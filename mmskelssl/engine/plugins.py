"""Plug-ins: user packages that need no installation. This module records which of them the caller has named."""
import importlib
import os.path as osp
import sys
from collections.abc import Sequence

from mmskelssl.errors import UserError

# Modules that the caller imported by name. Files may name classes of these modules and of this package.
_trusted: set[str] = set()


def look_beside(path: str) -> None:
    """Let Python find the modules next to a file, as it does for a script.

    The folder is appended to ``sys.path``, so that it cannot shadow installed modules.
    """
    folder = osp.dirname(osp.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)


def trust(modules: str | Sequence[str]) -> None:
    """Allow checkpoints to name the registered classes of these modules and their submodules from now on.

    This holds for the whole process, like the import itself: a model may be built long after the call that named its
    plug-in.
    """
    _trusted.update([modules] if isinstance(modules, str) else modules)


def is_trusted(module: str) -> bool:
    """Return whether files may name classes of a module: one of this package, or of a plug-in that the caller named."""
    return any(module == name or module.startswith(f'{name}.') for name in ('mmskelssl', *_trusted))


def import_plugins(names: str | Sequence[str]) -> None:
    """Import plug-ins, which registers their types and allows checkpoints to name them.

    Args:
        names: Modules (``skelplug``, or ``__main__`` for classes of the running script), or paths of packages and files
            (``examples/plugin/skelplug``, ``mine.py``).

    Raises:
        UserError: If a plug-in cannot be imported, or another module has its name.
    """
    for name in [names] if isinstance(names, str) else names:
        module = name
        if osp.exists(name) and (osp.sep in name or name.endswith('.py')):
            look_beside(osp.abspath(name))
            module = osp.splitext(osp.basename(osp.abspath(name)))[0]
        if not module or module.startswith('.'):
            raise UserError(f'cannot import {name!r}: give the name of a module, or the path of its folder or file')
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise UserError(f'cannot import {name}: {error}; give the path of its folder or file, install it, or set '
                            'PYTHONPATH') from error
        if module != name and not _lies_at(found, name):
            raise UserError(f'{name}: another module is called {module!r} '
                            f'({getattr(found, "__file__", "built in")}): rename yours')
        trust(module)


def _lies_at(module, path: str) -> bool:
    file = getattr(module, '__file__', None) or ''
    return bool(file) and osp.realpath(path) in (osp.realpath(file), osp.dirname(osp.realpath(file)))
