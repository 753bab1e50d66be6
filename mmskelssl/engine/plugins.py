"""Plug-ins: packages of a user's own that nothing installs. Which of them the caller has named is remembered here."""
import importlib
import os.path as osp
import sys
from collections.abc import Sequence

from mmskelssl.errors import UserError

# Modules that the caller imported by name: files may name classes of these, besides our own.
_trusted: set[str] = set()


def look_beside(path: str) -> None:
    """Let Python find the modules that lie beside a file, as it does beside a script.

    Last on ``sys.path``: nothing there can hide what is installed.
    """
    folder = osp.dirname(osp.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)


def trust(modules: str | Sequence[str]) -> None:
    """Let checkpoints name the registered classes of modules, and of what lies in them, from now on."""
    _trusted.update([modules] if isinstance(modules, str) else modules)


def is_trusted(module: str) -> bool:
    """Whether a class of this module may be named by a file: of this package, or of a plug-in named by the caller."""
    return any(module == name or module.startswith(f'{name}.') for name in ('mmskelssl', *_trusted))


def import_plugins(names: str | Sequence[str]) -> None:
    """Import plug-ins, which registers their types, and lets checkpoints name them.

    Args:
        names: Modules (``skelplug``; ``__main__`` for classes of the running script), or paths of packages and files
            (``examples/plugin/skelplug``, ``mine.py``).
    """
    for name in [names] if isinstance(names, str) else names:
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
        trust(module)


def _lies_at(module, path: str) -> bool:
    file = getattr(module, '__file__', None) or ''
    return bool(file) and osp.realpath(path) in (osp.realpath(file), osp.dirname(osp.realpath(file)))
