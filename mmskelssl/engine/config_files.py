"""Reads config files, finds their base files, and finds names in them that nothing reads."""
import ast
import difflib
import os.path as osp
import re
import traceback

import mmengine
from mmengine.config import Config

from mmskelssl.engine.plugins import look_beside, trust
from mmskelssl.errors import UserError
from mmskelssl.shipped import shipped_bases, shipped_configs


def read_config(path: str) -> Config:
    """Read one config file and merge its bases."""
    look_beside(path)  # custom_imports may name modules in the folder of the config
    try:
        with shipped_bases():
            cfg = Config.fromfile(path, lazy_import=False)
        trust((cfg.get('custom_imports') or {}).get('imports') or [])
        return cfg
    except ImportError as error:
        cause: BaseException = error
        while cause.__context__ is not None:  # mmengine hides what was missing
            cause = cause.__context__
        raise UserError(f'{path}: custom_imports: {cause}; a module must be in the folder of the config, '
                        'be installed, or be on PYTHONPATH') from error
    except Exception as error:  # a config is code, and may fail in any way
        if _is_pure_python(path):
            raise UserError(f'{path}: configs with read_base() are not read: write _base_ = [...] with the names of '
                            'files instead') from error
        raise UserError(f'{path}: {type(error).__name__}: {" ".join(str(error).split())}{_line(error)}') from error


def _is_pure_python(path: str) -> bool:
    """Return whether a file is of mmengine's other style of configs, which import their bases."""
    with open(path, encoding='utf-8', errors='replace') as file:
        return re.search(r'^with read_base\(\)', file.read(), re.MULTILINE) is not None


def _line(error: Exception) -> str:
    """Return the last line outside of mmengine that an error came through, which is one of a config or its module."""
    ours = [osp.dirname(file) + osp.sep for file in (mmengine.__file__, __file__)]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if osp.isfile(frame.filename) and not frame.filename.startswith(tuple(ours))]
    return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''


def base_files(path: str) -> list[str]:
    """Return the files that a config names in ``_base_``."""
    with shipped_bases():
        return [Config._get_cfg_path(name, path)[0] for name in Config._get_base_files(path)]


def unread_names(cfg: Config, known: set[str]) -> list[str]:
    """Return the top-level names of a config that neither a run nor the config's files use.

    Auxiliary variables are used: ``turned = [...]`` for a view further down, or ``_base_.turned`` in another file.
    Names that begin with an underscore and names in the shipped files are not reported.

    Args:
        cfg: A config from :func:`read_config`.
        known: Keys that a run reads or refuses.
    """
    if not cfg.filename or not osp.isfile(cfg.filename):
        return []
    assigned: set[str] = set()
    used: set[str] = set()
    shipped, pending, seen = osp.realpath(shipped_configs()), [cfg.filename], set[str]()
    while pending:
        path = pending.pop()
        if path in seen or osp.realpath(path).startswith(shipped + osp.sep):
            continue
        seen.add(path)
        pending += base_files(path)
        with open(path, encoding='utf-8') as file:
            text = file.read()
        used.update(re.findall(r'_base_\.(\w+)', text))
        if path.endswith('.py'):
            names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
            assigned.update(node.id for node in names if isinstance(node.ctx, ast.Store))
            used.update(node.id for node in names if isinstance(node.ctx, ast.Load))
        else:
            assigned.update(cfg)
    return sorted(name for name in assigned & set(cfg) - used - known if not name.startswith('_'))


def refuse_near_misses(cfg: Config, known: set[str], keys: set[str]) -> None:
    """Refuse an unused name that looks like one of ``keys``, such as ``trian_cfg``."""
    for name in unread_names(cfg, known):
        close = difflib.get_close_matches(name.lower(), keys, 1, 0.8)
        if close:
            raise UserError(f'{cfg.filename}: {name} is not a key of a config; did you mean {close[0]}? (If it is '
                            'a variable, use it in the file, or let it begin with an underscore.)')
