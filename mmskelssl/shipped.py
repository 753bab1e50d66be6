"""Find the configs that ship with mmskelssl, in a wheel, in an editable install and in a checkout."""
import difflib
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmskelssl.errors import UserError

PACKAGE = Path(__file__).resolve().parent
PREFIX = 'mmskelssl::'


def shipped_configs() -> Path:
    """Return ``mmskelssl/.mim/configs`` of an installed package, or the folder ``configs`` of a checkout."""
    for folder in (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs'):
        if (folder / '_base_').is_dir():
            return folder
    raise UserError(f'{PACKAGE}/.mim/configs is missing: install mmskelssl again')


def find_config(name: str) -> str:
    """Return the path of a config.

    Args:
        name: A path, or the name of a shipped config (``actclr_toy``), with or without ``configs/`` and ``.py``.

    Raises:
        UserError: If there is no such config.
    """
    if osp.isfile(name):
        return name
    bare = name.removeprefix('mmskelssl::').removeprefix('configs/').removesuffix('.py')
    if bare in (names := config_names()):
        return str(shipped_configs() / f'{bare}.py')
    near = difflib.get_close_matches(bare, names, 3, 0.6)
    raise UserError(f'{name}: no such config; ' + (f'did you mean {" or ".join(near)}? ' if near else '')
                    + 'mmskelssl configs lists those that are shipped')


def config_names() -> list[str]:
    """Return the names of the shipped configs."""
    return sorted(path.stem for path in shipped_configs().glob('*.py'))


def config_path(name: str, source: str) -> str:
    """Return the path of a file named in a config.

    ``mmskelssl::NAME`` refers to a config that ships with mmskelssl. Any other name is relative to the config file.

    Args:
        name: Name as written in the config.
        source: The config file.
    """
    if name.startswith(PREFIX):
        return str(shipped_configs() / name.removeprefix(PREFIX))
    return str(Path(source).parent / name)


@contextmanager
def shipped_bases() -> Iterator[None]:
    """Resolve ``_base_ = 'mmskelssl::...'`` to configs that ship with mmskelssl, while this context is active.

    mmengine 0.10.7 resolves such names only for a fixed list of packages. It also needs pkg_resources, which
    setuptools 82 removed.
    """
    from mmengine.config import Config
    original = Config._get_cfg_path

    def get_cfg_path(name: str, path: str):
        return (config_path(name, path), None) if name.startswith(PREFIX) else original(name, path)
    Config._get_cfg_path = staticmethod(get_cfg_path)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(original)
